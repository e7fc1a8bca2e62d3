// Random writes, reads, truncations, reopenings and renames of one file, each read checked against a
// copy in memory. usage: fsops FILE OPERATIONS SEED
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { kLimit = 300000, kLongest = 70000 };
static unsigned char model[kLimit], buffer[kLongest];
static long size;
static unsigned long long state;

static unsigned draw(unsigned below) {
	state = state * 6364136223846793005ull + 1442695040888963407ull;
	return (unsigned)(state >> 33) % below;
}

static void check(int good, const char *what, long step) {
	if (good) return;
	printf("FSOPS-FAILED %s at step %ld\n", what, step);
	perror(what);
	exit(1);
}

int main(int argc, char **argv) {
	if (argc != 4) return 2;
	const char *name = argv[1];
	char other[256];
	snprintf(other, sizeof other, "%s.moved", name);
	state = strtoull(argv[3], 0, 10);
	int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0644);
	check(fd >= 0, "open", 0);
	for (long step = 1; step <= atol(argv[2]); ++step) {
		long at = draw(kLimit), length = 1 + draw(kLongest);
		if (at + length > kLimit) length = kLimit - at;
		switch (draw(8)) {
		case 0:
		case 1:
			for (long i = 0; i < length; ++i) buffer[i] = (unsigned char)draw(256);
			check(pwrite(fd, buffer, length, at) == length, "pwrite", step);
			memcpy(model + at, buffer, length);
			if (at + length > size) size = at + length;
			break;
		case 2:
		case 3:
		case 4: {
			long expected = at >= size ? 0 : at + length > size ? size - at : length;
			check(pread(fd, buffer, length, at) == expected, "length of pread", step);
			check(memcmp(buffer, model + at, expected) == 0, "data of pread", step);
			break;
		}
		case 5:
			check(ftruncate(fd, at) == 0, "ftruncate", step);
			if (at < size) memset(model + at, 0, size - at);
			size = at;
			break;
		case 6:
			check(close(fd) == 0, "close", step);
			fd = open(name, O_RDWR);
			check(fd >= 0, "reopen", step);
			break;
		case 7:
			check(rename(name, other) == 0 && rename(other, name) == 0, "rename", step);
			check(lseek(fd, 0, SEEK_END) == size, "size", step);
			break;
		}
	}
	close(fd);
	fd = open(name, O_RDONLY);
	unsigned sum = 0;
	long seen = 0, n;
	while ((n = read(fd, buffer, sizeof buffer)) > 0) {
		check(memcmp(buffer, model + seen, n) == 0, "data at the end", -1);
		for (long i = 0; i < n; ++i) sum = sum * 31 + buffer[i];
		seen += n;
	}
	check(seen == size, "size at the end", -1);
	printf("FSOPS-OK sum=%08x\n", sum);
	return 0;
}
