// Work for a Java virtual machine with a compiler. Prints "name: checksum" lines, which are the same
// on every machine: only operations whose result the language fixes to the last bit.
import java.math.BigInteger;
import java.security.MessageDigest;
import java.util.*;
import java.util.concurrent.*;
import java.util.concurrent.atomic.*;
import java.util.concurrent.locks.ReentrantLock;
import java.util.regex.Pattern;
import java.util.stream.*;
import java.util.zip.*;

public class Bench {
  static int mandelbrot(int size, int limit) {
    int sum = 0;
    for (int py = 0; py < size; py++) {
      for (int px = 0; px < size; px++) {
        double cr = px * 3.0 / size - 2.25, ci = py * 3.0 / size - 1.5, r = 0, i = 0;
        int n = 0;
        for (; n < limit && r * r + i * i <= 4; n++) {
          double next = r * r - i * i + cr;
          i = 2 * r * i + ci;
          r = next;
        }
        sum = 31 * sum + n;
      }
    }
    return sum;
  }

  static long integers() {
    long sum = 0;
    var random = new Random(1);
    for (int k = 0; k < 100000; k++) {
      long a = random.nextLong(), b = random.nextLong() >> (k & 63);
      int c = (int) a, d = (int) b;
      sum = Long.rotateLeft(sum, 7) ^ (b == 0 ? 1 : a / b + a % b + Long.divideUnsigned(a, b));
      sum += d == 0 ? 1 : c / d - c % d + Integer.remainderUnsigned(c, d);
      sum ^= Math.multiplyHigh(a, b) + Long.bitCount(a) * Long.numberOfTrailingZeros(b);
      sum += Long.reverseBytes(a) ^ Long.reverse(b) ^ Integer.numberOfLeadingZeros(c >>> (k & 31));
      sum += (short) c * (byte) d + (char) (c << d) + (a >>> c) + (a >> d);
      try {
        sum ^= Math.addExact(c, d);
        sum ^= Math.multiplyExact(a, b);
      } catch (ArithmeticException overflow) {
        sum++;
      }
    }
    return sum + Long.MIN_VALUE / -1 + Integer.MIN_VALUE % -1;
  }

  static long floats() {
    long sum = 0;
    var random = new Random(2);
    double[] special = {0.0, -0.0, 1.0 / 0, -1.0 / 0, 0.0 / 0, Double.MIN_VALUE, Double.MAX_VALUE, -1.5};
    for (int k = 0; k < 60000; k++) {
      double a = k % 16 < 8 ? special[k % 8] : Double.longBitsToDouble(random.nextLong());
      double b = random.nextGaussian(), c = Double.longBitsToDouble(random.nextLong());
      float f = (float) b, g = (float) a, h = Float.intBitsToFloat(random.nextInt());
      double[] results = {a + b, a - c, a * b, b / a, Math.sqrt(a), Math.fma(a, b, c), Math.min(a, c),
          Math.max(-0.0, b * 0), Math.rint(a), Math.floor(b), Math.ceil(c), Math.abs(a), a % 3.25, f * g + h,
          Math.fma(f, g, h), (float) Math.sqrt(h), Math.copySign(a, b), Math.ulp(b), Math.signum(c),
          Math.scalb(b, k % 2200 - 1100), (double) (long) a, (float) (int) b};
      for (double result : results) sum = 31 * sum + Double.doubleToLongBits(result);
      sum += (long) a + (int) c + (long) f + (int) h + Math.round(a) + Math.round(h);
      sum += (a < c ? 1 : 0) + (a >= b ? 2 : 0) + (a == c ? 4 : 0) + Double.compare(a, c) + Float.compare(g, h);
    }
    return sum;
  }

  static String text() {
    var random = new Random(3);
    var builder = new StringBuilder();
    for (int k = 0; k < 10000; k++) {
      builder.append(Integer.toString(random.nextInt(), 36)).append(k % 9 == 0 ? "@x.org\n" : " \u00e9\u4e16 ");
    }
    String text = builder.toString();
    long found = Pattern.compile("(?<name>[a-z0-9]+)@x\\.org").matcher(text).results()
        .mapToLong(match -> match.start()).sum();
    long words = Arrays.stream(text.split("\\s+")).map(String::toUpperCase).distinct().count();
    String numbers = random.doubles(500).mapToObj(d -> String.format("%.5f %e %s", d, d * 1e200, d / 1e300))
        .collect(Collectors.joining());
    return found + " " + words + " " + text.replaceAll("([a-f]+)(\\d+)", "$2$1").hashCode() + " " + numbers.hashCode()
        + " " + new String(text.getBytes(java.nio.charset.StandardCharsets.UTF_8),
            java.nio.charset.StandardCharsets.ISO_8859_1).hashCode();
  }

  static String digests() throws Exception {
    byte[] data = new byte[300007];
    new Random(4).nextBytes(data);
    var result = new StringBuilder();
    for (String name : new String[] {"MD5", "SHA-1", "SHA-256", "SHA-512", "SHA3-256"}) {
      result.append(HexFormat.of().formatHex(MessageDigest.getInstance(name).digest(data), 0, 8)).append(' ');
    }
    var crc = new CRC32();
    crc.update(data);
    var crcc = new CRC32C();
    crcc.update(data);
    var adler = new Adler32();
    adler.update(data);
    result.append(crc.getValue()).append(' ').append(crcc.getValue()).append(' ').append(adler.getValue());
    var cipher = javax.crypto.Cipher.getInstance("AES/GCM/NoPadding");
    var key = new javax.crypto.spec.SecretKeySpec(data, 0, 16, "AES");
    cipher.init(javax.crypto.Cipher.ENCRYPT_MODE, key, new javax.crypto.spec.GCMParameterSpec(128, data, 16, 12));
    return result + " " + Arrays.hashCode(cipher.doFinal(data));
  }

  static String big() {
    var factorial = BigInteger.ONE;
    for (int k = 1; k <= 1000; k++) factorial = factorial.multiply(BigInteger.valueOf(k));
    var modulus = BigInteger.ONE.shiftLeft(521).subtract(BigInteger.ONE);
    return factorial.toString().hashCode() + " " + BigInteger.TEN.modPow(factorial, modulus).hashCode() + " "
        + modulus.isProbablePrime(20) + " " + factorial.sqrt().hashCode();
  }

  // Null checks and bounds that the compiler leaves to a trap, and stacks that end at a guard page.
  static int deep(int n) {
    return deep(n + 1) + 1;
  }

  static String traps() {
    int nulls = 0, bounds = 0, zero = 0, casts = 0, overflows = 0;
    int[][] arrays = new int[1000][];
    for (int k = 0; k < 1000; k += 2) arrays[k] = new int[k % 10];
    for (int round = 0; round < 60; round++) {
      for (int k = 0; k < 1000; k++) {
        try {
          arrays[k][5]++;
          zero += 1 / (k % 7);
          casts += ((String) (Object) (k % 3 == 0 ? "" : (Object) k)).length();
        } catch (NullPointerException e) {
          nulls++;
        } catch (ArrayIndexOutOfBoundsException e) {
          bounds++;
        } catch (ArithmeticException e) {
          zero += 100;
        } catch (ClassCastException e) {
          casts += 100;
        }
      }
    }
    for (int k = 0; k < 5; k++) {
      try {
        deep(0);
      } catch (StackOverflowError e) {
        overflows++;
      }
    }
    return nulls + " " + bounds + " " + zero + " " + casts + " " + overflows;
  }

  static long garbage() {
    var random = new Random(5);
    var map = new HashMap<String, List<Object>>();
    var tree = new TreeMap<Integer, byte[]>();
    for (int k = 0; k < 60000; k++) {
      map.put("key" + random.nextInt(20000), List.of(k, k + 0.5, "v".repeat(k % 30)));
      tree.put(random.nextInt(5000), new byte[k % 500]);
      if (k % 3 == 0) map.remove("key" + random.nextInt(20000));
    }
    System.gc();
    long sum = map.values().stream().mapToLong(list -> (Integer) list.get(0) + list.get(2).hashCode()).sum();
    return sum + tree.values().stream().mapToLong(bytes -> bytes.length).sum();
  }

  static String threads() throws Exception {
    var lock = new ReentrantLock();
    var monitor = new Object();
    var counter = new AtomicLong();
    var map = new ConcurrentHashMap<Integer, Integer>();
    var queue = new ArrayBlockingQueue<Integer>(16);
    long[] guarded = new long[2];
    var workers = new ArrayList<Thread>();
    for (int worker = 0; worker < 4; worker++) {
      workers.add(new Thread(() -> {
        for (int k = 0; k < 10000; k++) {
          counter.incrementAndGet();
          synchronized (monitor) {
            guarded[0]++;
          }
          lock.lock();
          try {
            guarded[1]++;
          } finally {
            lock.unlock();
          }
          map.merge(k % 100, 1, Integer::sum);
        }
        try {
          for (int k = 0; k < 2000; k++) queue.put(k);
        } catch (InterruptedException e) {
          throw new IllegalStateException(e);
        }
      }));
    }
    workers.forEach(Thread::start);
    long taken = 0;
    for (int k = 0; k < 8000; k++) taken += queue.take();
    for (var worker : workers) worker.join();
    int merged = map.values().stream().mapToInt(Integer::intValue).sum();
    long squares = LongStream.range(0, 200000).parallel().map(k -> k * k % 1009).sum();
    int[] sorted = new Random(6).ints(100000).toArray();
    Arrays.parallelSort(sorted);
    return counter + " " + guarded[0] + " " + guarded[1] + " " + taken + " " + merged + " " + squares + " "
        + Arrays.hashCode(sorted);
  }

  interface Part {
    Object run() throws Exception;
  }

  static void print(String name, Part part) throws Exception {
    Object first = part.run();
    // By the second run it has been compiled, and compiled code may not differ from interpreted.
    Object second = part.run();
    System.out.println(name + ": " + (first.equals(second) ? first : first + " then " + second));
  }

  public static void main(String[] arguments) throws Exception {
    System.out.println("hello: world");
    print("mandelbrot", () -> mandelbrot(200, 200));
    print("integers", Bench::integers);
    print("floats", Bench::floats);
    print("text", Bench::text);
    print("digests", Bench::digests);
    print("big", Bench::big);
    print("traps", Bench::traps);
    print("garbage", Bench::garbage);
    print("threads", Bench::threads);
  }
}
