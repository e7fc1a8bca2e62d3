// Work for a JavaScript engine with a compiler. Prints "name: checksum" lines, which are the same on
// every machine: only operations whose result the language fixes to the last bit.
"use strict";
const crypto = require("crypto");
const { Worker, isMainThread, workerData } = require("worker_threads");

function mandelbrot(size, limit) {
  let sum = 0;
  for (let py = 0; py < size; py++) {
    for (let px = 0; px < size; px++) {
      const cr = (px * 3) / size - 2.25;
      const ci = (py * 3) / size - 1.5;
      let [r, i, n] = [0, 0, 0];
      while (n < limit && r * r + i * i <= 4) {
        [r, i] = [r * r - i * i + cr, 2 * r * i + ci];
        n++;
      }
      sum = (Math.imul(sum, 31) + n) | 0;
    }
  }
  return sum;
}

function fnv(text) {
  let hash = 0x811c9dc5;
  for (let k = 0; k < text.length; k++) hash = Math.imul(hash ^ text.charCodeAt(k), 0x01000193);
  return hash >>> 0;
}

function generator(seed) {
  return () => {
    seed ^= seed << 13;
    seed ^= seed >>> 17;
    seed ^= seed << 5;
    return seed >>> 0;
  };
}

function json(rounds) {
  const random = generator(1);
  let hash = 0;
  for (let round = 0; round < rounds; round++) {
    const object = { list: [], names: {} };
    for (let k = 0; k < 100; k++) {
      object.list.push(random() / 4294967296, random() | 0, null, k % 2 === 0, `"\u00e9\n${random()}`);
      object.names["k" + random()] = [[], {}, [random() * 1e-300, random() * 1e290]];
    }
    const text = JSON.stringify(object);
    if (JSON.stringify(JSON.parse(text)) !== text) return "round trip differs";
    hash ^= fnv(text);
  }
  return hash >>> 0;
}

function regex(rounds) {
  const random = generator(2);
  let found = 0;
  for (let round = 0; round < rounds; round++) {
    let text = "";
    for (let k = 0; k < 200; k++) text += random().toString(36) + (k % 7 ? " " : "@x.org\n");
    for (const match of text.matchAll(/(?<name>[a-z0-9]+)@(x)\.org$/gm)) found += match.index;
    found += text.replace(/([a-f]+)(\d+)/g, "$2$1").split(/\s+/u).length;
    found += (text.match(/(?<=a)(?:b|c|\d{2,3}?)+(?!z)/g) || []).length;
  }
  return found;
}

// FIPS 180-4; the engine's own compiled code beside the library's.
function sha256(bytes) {
  const [k, h] = [new Uint32Array(64), new Uint32Array(8)];
  for (let prime = 2, count = 0; count < 64; prime++) {
    let divisor = 2;
    while (divisor * divisor <= prime && prime % divisor) divisor++;
    if (divisor * divisor <= prime) continue;
    const root = (power) => {
      let low = 0n;
      let high = 1n << 40n;
      while (high - low > 1n) {
        const middle = (low + high) / 2n;
        if (middle ** BigInt(power) <= BigInt(prime) << BigInt(32 * power)) low = middle;
        else high = middle;
      }
      return Number(low & 0xffffffffn);
    };
    if (count < 8) h[count] = root(2);
    k[count++] = root(3);
  }
  const padded = new Uint8Array((((bytes.length + 8) >> 6) + 1) << 6);
  padded.set(bytes);
  padded[bytes.length] = 0x80;
  const view = new DataView(padded.buffer);
  view.setBigUint64(padded.length - 8, BigInt(bytes.length) * 8n);
  const rotate = (x, n) => (x >>> n) | (x << (32 - n));
  const w = new Uint32Array(64);
  for (let block = 0; block < padded.length; block += 64) {
    for (let t = 0; t < 64; t++) {
      if (t < 16) w[t] = view.getUint32(block + 4 * t);
      else {
        const s0 = rotate(w[t - 15], 7) ^ rotate(w[t - 15], 18) ^ (w[t - 15] >>> 3);
        const s1 = rotate(w[t - 2], 17) ^ rotate(w[t - 2], 19) ^ (w[t - 2] >>> 10);
        w[t] = w[t - 16] + s0 + w[t - 7] + s1;
      }
    }
    let [a, b, c, d, e, f, g, last] = h;
    for (let t = 0; t < 64; t++) {
      const s1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
      const t1 = (last + s1 + ((e & f) ^ (~e & g)) + k[t] + w[t]) | 0;
      const s0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
      const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      [last, g, f, e, d, c, b, a] = [g, f, e, (d + t1) | 0, c, b, a, (t1 + t2) | 0];
    }
    [a, b, c, d, e, f, g, last].forEach((value, k) => (h[k] += value));
  }
  return [...h].map((word) => word.toString(16).padStart(8, "0")).join("");
}

function hashes() {
  const bytes = new Uint8Array(300000);
  const random = generator(3);
  for (let k = 0; k < bytes.length; k++) bytes[k] = random();
  const ours = sha256(bytes);
  if (crypto.createHash("sha256").update(bytes).digest("hex") !== ours) return "library differs";
  return ours;
}

function numbers() {
  const random = generator(4);
  const doubles = new Float64Array(20000).map(() => (random() - 2147483648) / (random() + 1));
  doubles.sort();
  let text = "";
  for (let k = 0; k < doubles.length; k += 97) {
    text += [doubles[k], Math.sqrt(Math.abs(doubles[k])), Math.fround(doubles[k]), Math.round(doubles[k]),
      Math.floor(doubles[k]), Math.ceil(doubles[k]), Math.trunc(doubles[k]), doubles[k] | 0, doubles[k] >>> 3,
      Math.max(doubles[k], -0), doubles[k] % 1.25, doubles[k].toFixed(7), Math.clz32(doubles[k])].join();
  }
  text += [0 / 0, 1 / -Infinity, -7 % 7, 5e-324 / 2, 2 ** 31 | 0, -(2 ** 31) / -1 | 0, 1e21 | 0].join();
  return fnv(text);
}

function bigint() {
  let factorial = 1n;
  for (let k = 1n; k <= 1500n; k++) factorial *= k;
  return fnv(factorial.toString()) + " " + (3n ** 2000n % (2n ** 127n - 1n)).toString(16);
}

function garbage() {
  const map = new Map();
  const random = generator(5);
  for (let k = 0; k < 300000; k++) {
    map.set("key" + (random() % 20000), { k, text: "v".repeat(k % 50), list: [k, k + 0.5] });
    if (k % 3 === 0) map.delete("key" + (random() % 20000));
  }
  let sum = map.size;
  for (const value of map.values()) sum += value.list[1] + value.text.length;
  return sum;
}

// A function called with small integers, doubles, strings and objects in turn is compiled, thrown
// away and compiled anew.
function deoptimize() {
  const add = (a, b) => a + b;
  let text = "";
  for (const [a, b] of [[1, 2], [1.5, 2], ["a", 1], [{ valueOf: () => 7 }, 1], [2147483647, 1], [1n, 2n]]) {
    let result;
    for (let k = 0; k < 30000; k++) result = add(a, b);
    text += result + ";";
  }
  return text;
}

// (func (export "f") (param i64) (result i64)): Fibonacci by recursion, in i64.
function webassembly() {
  const code = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 1, 6, 1, 0x60, 1, 0x7e, 1, 0x7e, 3, 2, 1, 0, 7, 5, 1, 1, 0x66, 0, 0,
    10, 30, 1, 28, 0, 0x20, 0, 0x42, 2, 0x53, 0x04, 0x7e, 0x20, 0, 0x05, 0x20, 0, 0x42, 1, 0x7d, 0x10, 0,
    0x20, 0, 0x42, 2, 0x7d, 0x10, 0, 0x7c, 0x0b, 0x0b];
  const instance = new WebAssembly.Instance(new WebAssembly.Module(new Uint8Array(code)));
  return instance.exports.f(26n);
}

const kWorkers = 4;
const kAdditions = 200000;
if (!isMainThread) {
  const shared = new Int32Array(workerData);
  for (let k = 0; k < kAdditions; k++) {
    Atomics.add(shared, 0, 1);
    while (Atomics.compareExchange(shared, 1, 0, 1) !== 0) Atomics.wait(shared, 1, 1, 1);
    shared[2] += 1;
    Atomics.store(shared, 1, 0);
    if (k % 64 === 0) Atomics.notify(shared, 1);
  }
} else {
  console.log("hello: world");
  const parts = {
    mandelbrot: () => mandelbrot(200, 200), json: () => json(30), regex: () => regex(100), sha256: hashes,
    numbers, bigint, garbage, deoptimize, webassembly,
  };
  for (const [name, part] of Object.entries(parts)) console.log(`${name}: ${part()}`);
  const shared = new SharedArrayBuffer(12);
  let left = kWorkers;
  for (let k = 0; k < kWorkers; k++) {
    new Worker(__filename, { workerData: shared }).on("exit", () => {
      if (--left === 0) console.log("workers: " + new Int32Array(shared).join());
    });
  }
}
