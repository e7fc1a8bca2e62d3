#!/bin/sh
# Algorithms of openssl on fixed keys and data, one line of result each: the same on every machine
# with the same key files. The first run makes those.
set -eu
data=work/data
if [ ! -f work/done ]; then
	mkdir -p work
	openssl rand 200003 >$data
	openssl genrsa -out work/rsa.pem 2048 2>/dev/null
	openssl genpkey -algorithm ed25519 -out work/ed25519.pem
	openssl genpkey -algorithm ed448 -out work/ed448.pem
	for pair in x25519 x448; do
		for side in a b; do
			openssl genpkey -algorithm $pair -out work/$pair.$side
			openssl pkey -in work/$pair.$side -pubout -out work/$pair.$side.pub
		done
	done
	for curve in P-256 P-384 P-521 secp256k1 brainpoolP256r1; do
		for side in a b; do
			openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:$curve -out work/$curve.$side
			openssl pkey -in work/$curve.$side -pubout -out work/$curve.$side.pub
		done
	done
	touch work/done
fi
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
head -c 64 $data >"$out/short"
head -c 199999 $data >"$out/damaged"
sum() { openssl dgst -sha256 -r "$@" | cut -c-64; }

for digest in md5 sha1 sha224 sha256 sha384 sha512 sha512-256 sha3-224 sha3-256 sha3-384 sha3-512 \
	shake128 shake256 blake2b512 blake2s256 sm3 ripemd160; do
	case $digest in shake*) length="-xoflen 32" ;; *) length= ;; esac
	echo "$digest $(openssl dgst -$digest $length -r $data | cut -d' ' -f1)"
done
{
	for cipher in chacha20 camellia-128-cbc camellia-256-ctr aria-256-cbc aria-128-ctr sm4-cbc \
		sm4-ctr des-ede3-cbc; do
		echo $cipher
	done
	for bits in 128 192 256; do
		for mode in ecb cbc ctr cfb ofb; do echo aes-$bits-$mode; done
	done
} >"$out/ciphers"
while read -r cipher; do
	openssl enc -$cipher -nosalt -pbkdf2 -iter 500 -pass pass:word -in $data -out "$out/secret"
	openssl enc -d -$cipher -nosalt -pbkdf2 -iter 500 -pass pass:word -in "$out/secret" |
		cmp - $data
	echo "$cipher $(sum "$out/secret")"
done <"$out/ciphers"

key=000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f
for bits in 128 192 256; do
	half=$(echo $key | cut -c-$((bits / 4)))
	echo "gmac-$bits $(openssl mac -cipher AES-$bits-GCM -macopt hexkey:$half \
		-macopt hexiv:101112131415161718191a1b -in $data GMAC)"
	echo "cmac-$bits $(openssl mac -cipher AES-$bits-CBC -macopt hexkey:$half -in $data CMAC)"
done
echo "hmac $(openssl mac -digest SHA512 -macopt hexkey:$key -in $data HMAC)"
echo "kmac $(openssl mac -macopt hexkey:$key -macopt size:64 -in $data KMAC-256)"
echo "poly1305 $(openssl mac -macopt hexkey:$key -in $data POLY1305)"
echo "siphash $(openssl mac -macopt hexkey:000102030405060708090a0b0c0d0e0f -in $data SipHash)"
echo "scrypt $(openssl kdf -keylen 64 -kdfopt pass:word -kdfopt salt:grain -kdfopt n:4096 -kdfopt r:8 \
	-kdfopt p:2 SCRYPT)"
echo "hkdf $(openssl kdf -keylen 80 -kdfopt digest:SHA384 -kdfopt hexkey:$key -kdfopt salt:grain HKDF)"

# Signatures and agreements without a random number in them.
for digest in sha1 sha256 sha512 sha3-256; do
	echo "rsa-$digest $(openssl dgst -$digest -sign work/rsa.pem $data | sum)"
done
for curve in ed25519 ed448; do
	openssl pkeyutl -sign -rawin -inkey work/$curve.pem -in "$out/short" -out "$out/signature"
	echo "$curve $(sum "$out/signature")"
done
for pair in x25519 x448 P-256 P-384 P-521 secp256k1 brainpoolP256r1; do
	for sides in "a b" "b a"; do
		openssl pkeyutl -derive -inkey work/$pair.${sides% *} -peerkey work/$pair.${sides#* }.pub \
			-out "$out/agreed"
		echo "$pair $(sum "$out/agreed")"
	done
done

# With one in them, each must verify its own and no other.
verify() { # NAME PUBLIC-KEY SIGN-OPTION...
	name=$1 public=$2
	shift 2
	openssl dgst -verify "$public" "$@" -signature "$out/signature" $data >/dev/null
	if openssl dgst -verify "$public" "$@" -signature "$out/signature" "$out/damaged" >/dev/null 2>&1; then
		echo "$name verifies what it has not signed"
		exit 1
	fi
	echo "$name ok"
}
for curve in P-256 P-384 P-521 secp256k1 brainpoolP256r1; do
	openssl dgst -sha256 -sign work/$curve.a -out "$out/signature" $data
	verify "ecdsa-$curve" work/$curve.a.pub -sha256
done
openssl pkey -in work/rsa.pem -pubout -out "$out/rsa.pub"
openssl dgst -sha256 -sigopt rsa_padding_mode:pss -sign work/rsa.pem -out "$out/signature" $data
verify rsa-pss "$out/rsa.pub" -sha256 -sigopt rsa_padding_mode:pss
openssl pkeyutl -encrypt -pubin -inkey "$out/rsa.pub" -pkeyopt rsa_padding_mode:oaep \
	-in "$out/short" -out "$out/secret"
openssl pkeyutl -decrypt -inkey work/rsa.pem -pkeyopt rsa_padding_mode:oaep -in "$out/secret" |
	cmp - "$out/short"
echo "rsa-oaep ok"
openssl genrsa -out "$out/new.pem" 2048 2>/dev/null
openssl rsa -in "$out/new.pem" -check -noout >/dev/null 2>&1
echo "genrsa ok"
[ "$(openssl prime "$(openssl prime -generate -bits 256)" | grep -c 'is prime')" = 1 ]
[ "$(openssl prime 1000000000000066600000000000001 | grep -c 'is prime')" = 1 ]
[ "$(openssl prime 341550071728321 | grep -c 'is not prime')" = 1 ]
echo "prime ok"
