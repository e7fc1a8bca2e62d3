#include <catch2/catch.hpp>

#include "cpu/cpu_config.h"

using namespace hv;
using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;

namespace {
std::string error_of(std::string_view text) {
  const auto config = CpuConfig::parse(text);
  return config ? "" : config.error().message;
}
}  // namespace

// QEMU 10.0's device tree for -cpu rv64 without what this emulator lacks (h and, informational,
// sh*), with svinval and svpbmt on.
TEST_CASE("isa_string of rv64 is QEMU's") {
  const auto config = CpuConfig::parse("rv64");
  REQUIRE(config);
  CHECK(config->isa_string() ==
        "rv64imafdc_zic64b_zicbom_zicbop_zicboz_ziccamoa_ziccif_zicclsm_ziccrse_zicntr_zicsr_"
        "zifencei_zihintntl_zihintpause_zihpm_zmmul_za64rs_zaamo_zalrsc_zawrs_zfa_zca_zcd_zba_zbb_"
        "zbc_zbs_ssccptr_sscounterenw_sstc_sstvala_sstvecd_ssu64xl_svadu_svinval_svpbmt_svvptc");
  CHECK(config->isa_extensions().front() == "i");
  CHECK(config->isa_extensions().at(6) == "zic64b");
  CHECK(config->mmu_type() == "riscv,sv57");
  CHECK(config->misa() == 0x800000000014112d);
}

// QEMU 10.0's names for -cpu rv64,zfh=on, rv64,zfhmin=on.
TEST_CASE("zfh brings zfhmin along and is refused without it") {
  const auto with = [](std::string_view text) {
    const auto config = CpuConfig::parse(text);
    REQUIRE(config);
    return config->isa_string();
  };
  CHECK_THAT(with("rv64,zfh=on"), Contains("_zfa_zfh_zfhmin_zca_"));
  CHECK_THAT(with("rv64,zfhmin=on"), Contains("_zfa_zfhmin_zca_") && !Contains("zfh_"));
  CHECK_THAT(error_of("rv64,zfh=on,zfhmin=off"), Contains("zfh needs zfhmin"));
  CHECK_THAT(error_of("rv64,f=off,d=off,zfa=off,zfhmin=on"), Contains("zfhmin needs f"));
  CHECK_THAT(error_of("rv64,f=off,d=off,zfa=off,zfh=on"), Contains("zfhmin needs f"));
}

// QEMU 10.0's without h and, informational, sh*.
TEST_CASE("isa_string of rva22s64 is QEMU's") {
  const auto config = CpuConfig::parse("rva22s64");
  REQUIRE(config);
  CHECK(config->isa_string() ==
        "rv64imafdcb_zic64b_zicbom_zicbop_zicboz_ziccamoa_ziccif_zicclsm_ziccrse_zicntr_zicsr_"
        "zifencei_zihintpause_zihpm_zmmul_za64rs_zaamo_zalrsc_zfhmin_zca_zcd_zba_zbb_zbs_zkt_"
        "ssccptr_sscounterenw_sstvala_sstvecd_ssu64xl_svade_svinval_svpbmt");
  CHECK(config->mmu_type() == "riscv,sv39");
  CHECK(config->misa() == 0x800000000014112f);
  CHECK(CpuConfig::parse("rva22s64,sv48=on")->max_sv == 48);
}

TEST_CASE("max has everything, in QEMU's order") {
  const auto config = CpuConfig::parse("max");
  REQUIRE(config);
  CHECK_THAT(config->isa_string(),
             StartsWith("rv64imafdcb_zic64b_zicbom_zicbop_zicboz_ziccamoa_ziccif_zicclsm_ziccrse_"
                        "zicond_zicntr_zicsr_zifencei_zihintntl_zihintpause_") &&
                 Contains("_zimop_zmmul_") && Contains("_zalrsc_zawrs_") &&
                 Contains("_zca_zcb_zcd_zcmop_zba_zbb_zbc_zbkb_zbkc_zbkx_zbs_zkn_zknd_zkne_zknh_"
                          "zks_zksed_zksh_zkt_"));
}

TEST_CASE("a group brings its members and cannot be had without") {
  const auto of = [](std::string_view text) { return CpuConfig::parse(text).value().extensions; };
  const auto zkn = of("rv64,zkn=on");
  for (const Ext ext : {Ext::kZbkb, Ext::kZbkc, Ext::kZbkx, Ext::kZkne, Ext::kZknd, Ext::kZknh})
    CHECK(zkn.has(ext));
  CHECK_FALSE(zkn.has(Ext::kZksed));
  const auto zks = of("rv64,zks=on");
  for (const Ext ext : {Ext::kZbkb, Ext::kZbkc, Ext::kZbkx, Ext::kZksed, Ext::kZksh})
    CHECK(zks.has(ext));
  CHECK_THAT(error_of("rv64,zkn=on,zbkx=off"), Contains("zkn=on includes zbkx"));
  CHECK_THAT(error_of("rv64,b=on,zba=off"), Contains("b=on includes zba"));
  // The model's group goes when a member does.
  const auto without = of("max,zbkx=off");
  CHECK_FALSE(without.has(Ext::kZkn));
  CHECK_FALSE(without.has(Ext::kZks));
  CHECK(without.has(Ext::kZbkb));
}

TEST_CASE("extensions switch off and take their implied names along") {
  const auto config = CpuConfig::parse(
      "rv64,a=off,d=off,f=off,m=off,zba=off,zfa=off,zicbom=off,zicbop=off,zicboz=off,zawrs=off");
  REQUIRE(config);
  CHECK(config->isa_string() ==
        "rv64ic_ziccif_zicclsm_zicntr_zicsr_zifencei_zihintntl_zihintpause_zihpm_zca_zbb_zbc_zbs_"
        "ssccptr_sscounterenw_sstc_sstvala_sstvecd_ssu64xl_svadu_svinval_svpbmt_svvptc");
  CHECK_FALSE(config->extensions.has(Ext::kZba));
  CHECK(config->misa() == 0x8000000000140104);
}

TEST_CASE("paging switches mean what they mean to QEMU") {
  const auto sv = [](std::string_view text) {
    const auto config = CpuConfig::parse(text);
    REQUIRE(config);
    return config->max_sv;
  };
  CHECK(sv("rv64,sv48=on") == 48);
  CHECK(sv("rv64,sv57=off") == 48);
  CHECK(sv("rv64,sv48=off") == 39);
  CHECK(sv("rv64,sv57=off,sv48=off") == 39);
  CHECK(sv("rv64,sv39=off") == 0);
  CHECK(sv("rv64,sv39=on,sv48=on") == 48);
  CHECK(sv("rv64,mmu=off") == 0);
  CHECK_THAT(error_of("rv64,sv48=off,sv57=on"), Contains("sv57 includes sv48"));
}

TEST_CASE("without paging the paging extensions go, or are refused when asked for") {
  const auto config = CpuConfig::parse("rv64,mmu=off,pmp=off");
  REQUIRE(config);
  CHECK(config->mmu_type() == "riscv,none");
  CHECK(config->pmp_regions == 0);
  CHECK_FALSE(config->extensions.has(Ext::kSvadu));
  CHECK_THAT(error_of("rv64,mmu=off,svpbmt=on"), Contains("svpbmt=on needs paging"));
}

TEST_CASE("errors name the property and what would be right") {
  CHECK_THAT(error_of("sifive-u54"), Contains("'sifive-u54'") && Contains("rv64, rva22s64 or max"));
  CHECK_THAT(error_of("rv64,f=off"), Contains("d needs f"));
  CHECK_THAT(error_of("rv64,d=off,f=off"), Contains("zfa needs f"));
  CHECK_THAT(error_of("rv64,zicsr=off"), Contains("f needs zicsr"));
  CHECK_THAT(error_of("rv64,a=off,zacas=on"), Contains("zacas needs a"));
  CHECK_THAT(error_of("rv64,a=off,zabha=on"), Contains("zabha needs a"));
  CHECK_THAT(error_of("rv64,zihpm=off,sscofpmf=on"), Contains("sscofpmf needs zihpm"));
  CHECK_THAT(error_of("rv64,pmp=off,smepmp=on"), Contains("smepmp=on needs pmp=on"));
  CHECK_THAT(error_of("rv64,mmu=off,svnapot=on"), Contains("svnapot=on needs paging"));
  CHECK_THAT(error_of("rv64,a=off"), Contains("zawrs needs a"));
  CHECK_THAT(error_of("rv64,zcb=on,c=off"), Contains("zcb needs c"));
  CHECK_THAT(error_of("rv64,zcmop=on,c=off"), Contains("zcmop needs c"));
  CHECK_THAT(error_of("rv64,zk=on"), Contains("zkr, which is not implemented"));
  CHECK(CpuConfig::parse("rv64,zk=off,zkr=off"));
  CHECK_THAT(error_of("rv64,zba=maybe"), Contains("zba=maybe"));
  CHECK_THAT(error_of("rv64,zzz=on"), Contains("zzz"));
  CHECK_THAT(error_of("rv64,v=on"), Contains("v=on") && Contains("not implemented"));
  CHECK(CpuConfig::parse("rv64,v=off,h=off"));
}

TEST_CASE("identity registers take numbers") {
  const auto config = CpuConfig::parse("max,mvendorid=0x489,marchid=7,mimpid=1");
  REQUIRE(config);
  CHECK(config->vendor_id == 0x489);
  CHECK(config->arch_id == 7);
  CHECK(config->imp_id == 1);
}

// QEMU 10.0's order for -cpu max.
TEST_CASE("the privileged extensions have QEMU's places in the ISA string") {
  const auto config = CpuConfig::parse(
      "rv64,zabha=on,zacas=on,smepmp=on,smstateen=on,sscofpmf=on,svade=on,svnapot=on");
  REQUIRE(config);
  CHECK_THAT(config->isa_string(), Contains("_zaamo_zabha_zacas_zalrsc_"));
  CHECK_THAT(config->isa_string(),
             Contains("_smepmp_smstateen_ssccptr_sscofpmf_sscounterenw_ssstateen_sstc_sstvala_"
                      "sstvecd_ssu64xl_svade_svadu_svinval_svnapot_svpbmt_svvptc"));
}

TEST_CASE("cpu_help lists every extension") {
  CHECK_THAT(cpu_help(), Contains("zicboz") && Contains("sv57") && Contains("max"));
}
