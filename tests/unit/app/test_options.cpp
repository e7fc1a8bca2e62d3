#include "app/options.h"

#include <catch2/catch.hpp>

#include "app/option_table.h"

namespace hv {
namespace {

Result<Options> parse(const std::vector<std::string>& arguments,
                      std::string_view program = "hartvisor") {
  return parse_options(program, arguments);
}

Options good(const std::vector<std::string>& arguments) {
  auto options = parse(arguments);
  INFO(fmt::format("{}", fmt::join(arguments, " ")));
  if (!options) FAIL(options.error().message);
  return std::move(*options);
}

// The message; it must be one line.
std::string error_of(const std::vector<std::string>& arguments) {
  const auto options = parse(arguments);
  INFO(fmt::format("{}", fmt::join(arguments, " ")));
  if (options) FAIL("accepted");
  CHECK(options.error().message.find('\n') == std::string::npos);
  return options.error().message;
}

bool has(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

std::string serial_backend(const Options& options) {
  for (const KeyValues& chardev : options.chardevs)
    if (chardev.get("id") == options.serial) return *chardev.get("backend");
  return "none";
}

}  // namespace

TEST_CASE("Options: one dash or two, aliases, and the last one counts") {
  CHECK(good({"-smp", "2"}).machine.smp == 2);
  CHECK(good({"--smp", "2", "-smp", "3"}).machine.smp == 3);
  CHECK(good({"-M", "virt"}).machine.smp == 1);
  CHECK(good({"--machine", "virt,kernel=k,append=a b,firmware=none"}).machine.append == "a b");
}

TEST_CASE("Options: -smp") {
  CHECK(good({"-smp", "cpus=4,maxcpus=4"}).machine.smp == 4);
  CHECK(good({"-smp", "2,sockets=2,cores=1,threads=1"}).machine.smp == 2);
  CHECK(good({"-smp", "sockets=2,cores=3"}).machine.smp == 6);
  CHECK(good({"-smp", "64"}).machine.smp == 64);
  for (const char* bad : {"0", "65", "two", "-1", "2,maxcpus=4", "3,sockets=2,cores=2,threads=1",
                          "sockets=64,cores=2", "2,foo=1"}) {
    INFO(bad);
    CHECK(has(error_of({"-smp", bad}), "-smp"));
  }
}

TEST_CASE("Options: -m counts in MiB and takes suffixes") {
  CHECK(good({}).machine.memory_size == 128u << 20);
  CHECK(good({"-m", "64"}).machine.memory_size == 64u << 20);
  CHECK(good({"-m", "size=524288k"}).machine.memory_size == 512u << 20);
  CHECK(good({"-m", "1.5G"}).machine.memory_size == 1536u << 20);
  CHECK(has(error_of({"-m", "4k"}), "the least is 1M"));
  CHECK(has(error_of({"-m", "much"}), "not a size"));
  CHECK(has(error_of({"-m", ""}), "not a size"));
  CHECK(has(error_of({"-m", "1G,slots=2"}), "slots"));
}

TEST_CASE("Options: memory of a back end object") {
  CHECK(good({"-object", "memory-backend-ram,id=m,size=256M", "-M", "virt,memory-backend=m"})
            .machine.memory_size == 256u << 20);
  CHECK(has(error_of({"-M", "virt,memory-backend=m"}), "memory-backend=m"));
  CHECK(has(error_of({"-m", "1G", "-object", "memory-backend-ram,id=m,size=256M", "-M",
                      "virt,memory-backend=m"}),
            "-m"));
}

TEST_CASE("Options: what is not there is refused by name") {
  CHECK(has(error_of({"-spice", "x"}), "-spice: not supported"));
  CHECK(has(error_of({"--vnc", ":1"}), "-vnc: not supported"));
  CHECK(error_of({"-foo"}) == "-foo: no such option; --help lists them");
  CHECK(has(error_of({"-kernel"}), "-kernel: an argument is missing"));
  CHECK(has(error_of({"disk.img"}), "-drive file=disk.img"));
  CHECK(has(error_of({"-monitor", "stdio"}), "-monitor stdio"));
  CHECK(has(error_of({"-display", "gtk"}), "-display gtk"));
  CHECK(has(error_of({"-M", "sifive_u"}), "no such machine"));
  CHECK(has(error_of({"-M", "virt,foo=1"}), "foo"));
  CHECK(has(error_of({"-M", "virt,aia=aplic"}), "aia"));
  CHECK(has(error_of({"-rtc", "base=localtime"}), "base"));
  CHECK(has(error_of({"-global", "virtio-mmio.force-legacy=on"}), "-global"));
  CHECK(has(error_of({"-global", "virtio-mmio.force-legacy=off,x=1"}), "-global"));
  CHECK(has(error_of({"-global", "kvm-pit.lost_tick_policy=delay"}), "-global"));
  good({"-global", "virtio-mmio.force-legacy=false"});
  good({"-net", "none", "-nic", "none", "-monitor", "none", "-parallel", "none", "-vga", "none",
        "-no-user-config", "-rtc", "base=utc", "-name", "g,debug-threads=on"});
}

TEST_CASE("Options: no option is both taken and refused") {
  for (const RefusedOption& refused : refused_options()) {
    INFO(refused.name);
    CHECK(find_option(refused.name) == nullptr);
  }
}

TEST_CASE("Options: networks and their devices") {
  const Options plain =
      good({"-netdev", "user,id=n,hostfwd=tcp::1-:2", "-device", "virtio-net-device,netdev=n",
            "-device", "virtio-net,netdev=m", "-device", "virtio-rng-device", "-netdev",
            R"({"type":"stream","id":"m","addr":{"type":"unix","path":"/s"}})"});
  REQUIRE(plain.netdevs.size() == 2);
  CHECK(plain.netdevs[0].get("type") == "user");
  CHECK(plain.netdevs[1].get("addr.path") == "/s");
  // As QEMU counts: the first is ...:56.
  CHECK(plain.machine.devices[0].get("mac") == "52:54:00:12:34:56");
  CHECK(plain.machine.devices[1].get("mac") == "52:54:00:12:34:57");
  CHECK_FALSE(plain.machine.devices[2].get("mac"));

  const Options nic = good({"-nic", "user,mac=52:54:00:12:34:56,restrict=on", "-nic",
                            "socket,model=virtio,listen=:1,id=x", "-nic", "null"});
  REQUIRE(nic.netdevs.size() == 3);
  REQUIRE(nic.machine.devices.size() == 3);
  CHECK(nic.machine.devices[0].get("driver") == "virtio-net-device");
  CHECK(nic.machine.devices[0].get("netdev") == nic.netdevs[0].get("id"));
  CHECK(nic.netdevs[0].get("restrict") == "on");
  CHECK_FALSE(nic.netdevs[0].get("mac"));
  CHECK(nic.machine.devices[1].get("id") == "x");
  CHECK(nic.machine.devices[1].get("mac") == "52:54:00:12:34:57");
  CHECK(good({"-nic", "user", "-nic", "none"}).machine.devices.empty());
  CHECK(good({}).machine.devices.empty());  // as QEMU's virt: no card by itself

  const Options forward = good({"-netdev", "user,id=n,guestfwd=tcp:10.0.2.9:7-tcp:127.0.0.1:9"});
  REQUIRE(forward.chardevs.front().get("backend") == "socket");
  CHECK(has(forward.netdevs[0].get("guestfwd").value_or(""),
            ("tcp:10.0.2.9:7-chardev:" + *forward.chardevs.front().get("id")).c_str()));
  const Options dump = good(
      {"-netdev", "user,id=n", "-object", "filter-dump,id=f,netdev=n,file=/d,maxlen=96,queue=tx"});
  CHECK(dump.objects.dumps.at(0).max_length == 96);
  CHECK_FALSE(dump.objects.dumps.at(0).from_guest);
  CHECK(dump.objects.dumps.at(0).to_guest);

  CHECK(has(error_of({"-netdev", "user"}), "id= is missing"));
  CHECK(has(error_of({"-netdev", "user,id=n", "-netdev", "null,id=n"}), "'n' already"));
  CHECK(has(error_of({"-nic", "user,model=e1000"}), "model=e1000"));
  CHECK(has(error_of({"-net", "user"}), "-net user: not supported"));
  CHECK(has(error_of({"-object", "filter-dump,id=f,netdev=x,file=/d"}), "netdev=x"));
  CHECK(has(error_of({"-object", "filter-dump,id=f,netdev=x"}), "file="));
  CHECK(has(error_of({"-object", "filter-dump,id=f,netdev=x,file=/d,queue=y"}), "queue=y"));
}

TEST_CASE("Options: accelerators") {
  for (const std::vector<std::string>& compiles :
       std::vector<std::vector<std::string>>{{},
                                             {"-accel", "jit"},
                                             {"-accel", "tcg"},
                                             {"-accel", "tcg,thread=multi", "-smp", "4"},
                                             {"-accel", "kvm", "-accel", "tcg"},
                                             {"-accel", "kvm:tcg"},
                                             {"-accel", "tcg", "-accel", "interp"},
                                             {"-M", "virt,accel=kvm:tcg"},
                                             {"-M", "virt,accel=jit"},
                                             {"-accel", "tcg,thread=single"}}) {
    INFO(fmt::format("{}", fmt::join(compiles, " ")));
    const Options options = good(compiles);
    REQUIRE(options.machine.jit);
    CHECK(options.machine.jit->threshold == 64);
    CHECK(options.machine.jit->background);
  }
  CHECK_FALSE(good({"-accel", "interp"}).machine.jit);
  CHECK_FALSE(good({"-M", "virt,accel=kvm:interp:jit"}).machine.jit);
  CHECK_FALSE(good({"-accel", "interp", "-accel", "jit"}).machine.jit);
  const Options jit = good({"-accel", "jit,threshold=7,tb-size=3"});
  REQUIRE(jit.machine.jit);
  CHECK(jit.machine.jit->threshold == 7);
  CHECK(jit.machine.jit->code_bytes == 3 << 20);
  // Tests count on the code being there at once.
  CHECK_FALSE(good({"-accel", "jit,threshold=1"}).machine.jit->background);
  CHECK(good({"-accel", "kvm:tcg,tb-size=256"}).machine.jit->code_bytes == 256 << 20);
  CHECK(has(error_of({"-accel", "interp,tb-size=3"}), "tb-size"));
  CHECK(has(error_of({"-accel", "jit,tb-size=0"}), "tb-size=0 is not between 1 and 1024"));
  CHECK(has(error_of({"-accel", "jit,threshold=x"}), "threshold=x"));
  CHECK(has(error_of({"-accel", "jit,split-wx=on"}), "split-wx"));
  CHECK(good({"-perfmap", "-jitdump"}).perf_map);
  CHECK(good({"-accel", "jit,dump=on"}).jit_dump);
  CHECK_FALSE(good({"-accel", "jit,dump=off"}).jit_dump);
  CHECK(has(error_of({"-accel", "jit,dump=file"}), "dump"));
  CHECK(has(error_of({"-accel", "interp,dump=on"}), "dump"));
  CHECK(has(error_of({"-accel", "interp", "-jitdump"}), "-jitdump: -accel interp"));
  CHECK(has(error_of({"-perfmap", "-M", "virt,accel=interp"}), "-perfmap: -accel interp"));
  CHECK(has(error_of({"-accel", "kvm"}), "-accel kvm: not supported"));
  CHECK(has(error_of({"-accel", "fast"}), "no such accelerator"));
  CHECK(has(error_of({"-accel", "tcg,thread=single", "-smp", "2"}), "thread=single"));
  CHECK(has(error_of({"-accel", "tcg,thread=some"}), "thread=some"));
}

TEST_CASE("Options: where the serial port goes") {
  const auto where = [](const std::vector<std::string>& arguments) {
    return serial_backend(good(arguments));
  };
  CHECK(where({}) == "stdio");
  CHECK(where({"-nographic"}) == "stdio");
  CHECK(where({"-nographic", "-display", "none"}) == "stdio");
  CHECK(where({"-display", "none"}) == "null");
  CHECK(good({"-nographic"}).chardevs.front().get("mux") == "on");
  CHECK_FALSE(good({"-nographic", "-monitor", "none"}).chardevs.front().get("mux"));
  CHECK(where({"-nographic", "-monitor", "none"}) == "stdio");
  CHECK(where({"-nodefaults"}) == "none");
  CHECK(where({"-nodefaults", "-nographic", "-serial", "stdio"}) == "stdio");
  CHECK(where({"-qmp", "stdio"}) == "null");
  CHECK(where({"-daemonize"}) == "null");
  CHECK(where({"-serial", "none"}) == "none");
  CHECK(where({"-serial", "file:log", "-serial", "none"}) == "file");
  CHECK(where({"-chardev", "pty,id=c", "-serial", "chardev:c"}) == "pty");

  CHECK(has(error_of({"-serial", "null", "-serial", "null"}), "one serial port"));
  CHECK(has(error_of({"-serial", "stdio", "-qmp", "stdio"}), "stdio"));
  CHECK(has(error_of({"-daemonize", "-serial", "stdio"}), "-daemonize"));
  CHECK(has(error_of({"-daemonize", "-nographic"}), "-daemonize"));
  CHECK(has(error_of({"-serial", "nowhere"}), "nowhere"));
}

TEST_CASE("Options: ids are given once") {
  CHECK(has(error_of({"-chardev", "null,id=a", "-chardev", "null,id=a"}), "'a' already"));
  CHECK(has(error_of({"-chardev", "null"}), "id= is missing"));
  CHECK(has(error_of({"-object", "iothread,id=t", "-object", "rng-builtin,id=t"}), "'t' already"));
  CHECK(has(error_of({"-object", "iothread"}), "id= is missing"));
  CHECK(has(error_of({"-drive", "file=f,id=d", "-drive", "file=g,id=d"}), "'d' already"));
  CHECK(has(error_of({"-device", "virtio-rng-device,id=r", "-device", "virtio-rng-device,id=r"}),
            "'r' already"));
}

TEST_CASE("Options: objects, also as JSON") {
  const Options options = good({"-object", "iothread,id=t0,poll-max-ns=0", "-object",
                                R"({"qom-type":"rng-random","id":"r","filename":"/dev/zero"})"});
  CHECK(options.objects.iothreads.at(0).id == "t0");
  CHECK(options.objects.iothreads.at(0).poll_max_ns == 0);
  CHECK(options.objects.rngs.at(0).filename == "/dev/zero");
  CHECK(has(error_of({"-object", "secret,id=s"}), "no such type"));
  CHECK(has(error_of({"-object", "iothread,id=t,foo=1"}), "foo"));
  CHECK(has(error_of({"-object", "{\"qom-type\""}), "JSON"));
}

TEST_CASE("Options: control monitors") {
  const Options options = good({"-chardev", "socket,id=c,path=/s,server=on,wait=off", "-mon",
                                "chardev=c,mode=control", "-qmp-pretty", "unix:/t,server=on"});
  REQUIRE(options.monitors.size() == 2);
  CHECK(options.monitors[0].chardev == "c");
  CHECK(options.monitors[1].pretty);
  CHECK(has(error_of({"-chardev", "null,id=c", "-mon", "c"}), "mode=readline"));
}

TEST_CASE("Options: process") {
  const Options options = good({"-name", "guest=g,process=p", "-uuid",
                                "01234567-89AB-cdef-0123-456789abcdef", "-no-reboot", "-S", "-echr",
                                "0x14", "-d", "int", "-d", "unimp", "-msg", "timestamp=on"});
  CHECK(options.name == "g");
  CHECK(options.process_name == "p");
  CHECK(options.uuid == "01234567-89ab-cdef-0123-456789abcdef");
  CHECK(options.run.no_reboot);
  CHECK(options.run.start_paused);
  CHECK(options.escape_key == 0x14);
  CHECK(options.log_items == "int,unimp");
  CHECK(options.message_timestamps);
  CHECK(has(error_of({"-uuid", "1"}), "not a UUID"));
  CHECK(has(error_of({"-echr", "x"}), "-echr"));
}

TEST_CASE("Options: help values print and end") {
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{{"-M", "help"},
                                             {"-machine", "?"},
                                             {"-M", "virt,help"},
                                             {"-cpu", "help"},
                                             {"-accel", "help"},
                                             {"-display", "help"},
                                             {"-object", "help"},
                                             {"-chardev", "help"},
                                             {"-device", "help"},
                                             {"-netdev", "help"},
                                             {"-nic", "help"},
                                             {"-nic", "user,model=help"},
                                             {"-d", "help"},
                                             {"-device", "virtio-blk-device,help"}}) {
    INFO(arguments[0] << " " << arguments[1]);
    const Options options = good(arguments);
    REQUIRE(options.print_and_exit);
    CHECK(options.print_and_exit->ends_with('\n'));
  }
  CHECK(has(*good({"-machine", "?"}).print_and_exit, "RISC-V VirtIO board"));
}

TEST_CASE("Options: -fsdev and -virtfs describe a share") {
  const Options plain = good({"-fsdev", "local,id=f,path=/p,security_model=none"});
  REQUIRE(plain.file_systems.size() == 1);
  const FsOptions& fs = plain.file_systems[0];
  CHECK(fs.id == "f");
  CHECK(fs.path == "/p");
  CHECK(fs.security == SecurityModel::kNone);
  CHECK_FALSE(fs.read_only);
  CHECK(fs.multi_devices == MultiDevices::kRemap);
  CHECK(plain.machine.devices.empty());

  const Options both =
      good({"-virtfs",
            "local,path=/p,mount_tag=t,security_model=mapped,fmode=0640,dmode=0750,"
            "readonly=on,multidevs=forbid,writeout=immediate"});
  REQUIRE(both.file_systems.size() == 1);
  CHECK(both.file_systems[0].id == "t");
  CHECK(both.file_systems[0].security == SecurityModel::kMappedXattr);
  CHECK(both.file_systems[0].file_mode == 0640);
  CHECK(both.file_systems[0].directory_mode == 0750);
  CHECK(both.file_systems[0].read_only);
  CHECK(both.file_systems[0].write_through);
  CHECK(both.file_systems[0].multi_devices == MultiDevices::kForbid);
  REQUIRE(both.machine.devices.size() == 1);
  CHECK(both.machine.devices[0].get("fsdev") == "t");

  // As scripts write it: words without a value.
  const Options words =
      good({"-fsdev", "local,id=f,path=/p,security_model=passthrough,readonly,multidevs=warn"});
  CHECK(words.file_systems[0].read_only);
  CHECK(words.file_systems[0].multi_devices == MultiDevices::kWarn);
}

TEST_CASE("Options: a wrong -fsdev or -virtfs is refused by the name of what is wrong") {
  const std::string share = "local,id=f,path=/p,security_model=none";
  const std::vector<std::pair<std::string, std::string>> wrong = {
      {"proxy,id=f,socket=/s", "proxy"},
      {"synth,id=f", "synth"},
      {"nfs,id=f,path=/p", "nfs"},
      {"", "-fsdev"},
      {"local,id=f,security_model=none", "path="},
      {"local,id=f,path=,security_model=none", "path="},
      {"local,id=f,path=/p", "security_model="},
      {"local,id=f,path=/p,security_model=mapped-acl", "security_model=mapped-acl"},
      {"local,path=/p,security_model=none", "id="},
      {share + ",multidevs=remember", "multidevs=remember"},
      {share + ",multidevs=", "multidevs="},
      {share + ",readonly=perhaps", "readonly=perhaps"},
      {share + ",writeout=later", "writeout=later"},
      {share + ",fmode=0644", "fmode"},
      {"local,id=f,path=/p,security_model=mapped-file,dmode=rwx", "dmode=rwx"},
      {"local,id=f,path=/p,security_model=mapped-file,fmode=07777", "fmode=07777"},
      {"local,id=f,path=/p,security_model=mapped-file,fmode=", "fmode="},
      {share + ",throttling.bps-total=1", "throttling.bps-total"},
      {share + ",sock_fd=3", "sock_fd"},
      {share + ",mount_tag=t", "mount_tag"},
  };
  for (const auto& [value, word] : wrong) {
    const std::string error = error_of({"-fsdev", value});
    CHECK(has(error, "-fsdev"));
    INFO(error);
    CHECK(has(error, word));
  }
  CHECK(has(error_of({"-fsdev", share, "-fsdev", share}), "-fsdev: there is an -fsdev 'f'"));
  CHECK(has(error_of({"-virtfs", share}), "mount_tag= is missing"));
  CHECK(has(error_of({"-virtfs", share + ",mount_tag="}), "mount_tag="));
  CHECK(has(error_of({"-virtfs", share + ",mount_tag=t,multidevs=all"}), "-virtfs: multidevs=all"));
  CHECK(has(error_of({"-virtfs", share + ",mount_tag=t,color=red"}), "color"));
  CHECK(has(error_of({"-virtfs", share + ",mount_tag=t", "-fsdev", share}), "'f'"));
}

}  // namespace hv
