#!/bin/sh
# A file through TLS between two processes, for each cipher suite and group.
set -eu
directory=$(mktemp -d)
cd "$directory"
trap 'kill $server 2>/dev/null; rm -rf "$directory"' EXIT
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key -out certificate \
	-days 2 -subj /CN=localhost 2>/dev/null
openssl rand 1000003 >data
openssl s_server -accept 127.0.0.1:4433 -cert certificate -key key -HTTP >server.log 2>&1 &
server=$!
transfer() {
	tries=0
	until printf 'GET /data HTTP/1.0\r\n\r\n' |
		openssl s_client -quiet -verify_quiet -verify_return_error -CAfile certificate \
			-connect 127.0.0.1:4433 "$@" >received 2>client.log; do
		tries=$((tries + 1))
		[ $tries -lt 30 ] || { cat client.log server.log; exit 1; }
		sleep 1
	done
	cmp data received
	echo "$* ok"
}
for suite in TLS_AES_128_GCM_SHA256 TLS_AES_256_GCM_SHA384 TLS_CHACHA20_POLY1305_SHA256; do
	for group in X25519 P-256; do
		transfer -ciphersuites $suite -groups $group
	done
done
transfer -tls1_2 -cipher ECDHE-ECDSA-AES256-GCM-SHA384
transfer -tls1_2 -cipher ECDHE-ECDSA-AES128-SHA256
