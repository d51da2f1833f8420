// /proc/cpuinfo: from the CPUID answers that programs get (SDM vol. 2, CPUID), laid out as arch/x86/kernel/cpu/proc.c does.
#include <array>

#include "kernel/frame/bytes.h"
#include "kernel/frame/cpuid.h"
#include "kernel/fs/proc/procfs.h"

namespace kernel {
namespace {

// Linux's names of feature bits, by register, lowest bit first; "" = not shown.
using Names = std::array<std::string_view, 32>;
constexpr Names kLeaf1Edx{"fpu", "vme", "de", "pse", "tsc", "msr", "pae", "mce", "cx8", "apic", "", "sep", "mtrr", "pge", "mca", "cmov",
                          "pat", "pse36", "pn", "clflush", "", "dts", "acpi", "mmx", "fxsr", "sse", "sse2", "ss", "ht", "tm", "", "pbe"};
constexpr Names kLeaf1Ecx{"pni", "pclmulqdq", "dtes64", "monitor", "ds_cpl", "vmx", "smx", "est", "tm2", "ssse3", "cid", "sdbg", "fma",
                          "cx16", "xtpr", "pdcm", "", "pcid", "dca", "sse4_1", "sse4_2", "x2apic", "movbe", "popcnt", "tsc_deadline_timer",
                          "aes", "xsave", "", "avx", "f16c", "rdrand", "hypervisor"};
constexpr Names kExtendedEdx{"", "", "", "", "", "", "", "", "", "", "", "syscall", "", "", "", "", "", "", "", "mp", "nx", "", "mmxext", "",
                             "", "fxsr_opt", "pdpe1gb", "rdtscp", "", "lm", "3dnowext", "3dnow"};
constexpr Names kExtendedEcx{"lahf_lm", "cmp_legacy", "svm", "extapic", "cr8_legacy", "abm", "sse4a", "misalignsse", "3dnowprefetch", "osvw",
                             "ibs", "xop", "skinit", "wdt", "", "lwp", "fma4", "tce", "", "nodeid_msr", "", "tbm", "topoext", "perfctr_core",
                             "perfctr_nb", "", "bpext", "ptsc", "perfctr_llc", "mwaitx", "", ""};
constexpr Names kLeaf7Ebx{"fsgsbase", "tsc_adjust", "sgx", "bmi1", "hle", "avx2", "", "smep", "bmi2", "erms", "invpcid", "rtm", "cqm", "", "mpx",
                          "rdt_a", "avx512f", "avx512dq", "rdseed", "adx", "smap", "avx512ifma", "", "clflushopt", "clwb", "intel_pt", "avx512pf",
                          "avx512er", "avx512cd", "sha_ni", "avx512bw", "avx512vl"};
constexpr Names kLeaf7Ecx{"", "avx512vbmi", "umip", "pku", "ospke", "waitpkg", "avx512_vbmi2", "", "gfni", "vaes", "vpclmulqdq", "avx512_vnni",
                          "avx512_bitalg", "tme", "avx512_vpopcntdq", "", "la57", "", "", "", "", "", "rdpid", "", "bus_lock_detect",
                          "cldemote", "", "movdiri", "movdir64b", "enqcmd", "", ""};
constexpr Names kLeaf7Edx{"", "", "avx512_4vnniw", "avx512_4fmaps", "fsrm", "", "", "", "avx512_vp2intersect", "", "md_clear", "", "", "",
                          "serialize", "", "tsxldtrk", "", "pconfig", "arch_lbr", "ibt", "", "amx_bf16", "avx512_fp16", "amx_tile", "amx_int8",
                          "", "", "flush_l1d", "arch_capabilities", "", ""};

void show_bits(std::uint32_t bits, const Names& names, Text& out) {
  for (std::size_t i = 0; i < names.size(); ++i)
    if (((bits >> i) & 1) != 0 && !names[i].empty()) out << ' ' << names[i];
}

void show_flags(Text& out) {
  const frame::CpuidResult basic = frame::cpuid(1, 0), extended = frame::cpuid(0x80000001, 0), seven = frame::cpuid(7, 0);
  out << "flags\t\t:";
  show_bits(basic.edx, kLeaf1Edx, out);
  show_bits(extended.edx, kExtendedEdx, out);
  out << " constant_tsc rep_good nopl nonstop_tsc cpuid";
  show_bits(basic.ecx, kLeaf1Ecx, out);
  show_bits(extended.ecx, kExtendedEcx, out);
  show_bits(seven.ebx, kLeaf7Ebx, out);
  if ((frame::cpuid(0xd, 1).eax & 1) != 0) out << " xsaveopt";
  if ((frame::cpuid(0xd, 1).eax & 2) != 0) out << " xsavec";
  if ((frame::cpuid(0xd, 1).eax & 4) != 0) out << " xgetbv1";
  show_bits(seven.ecx, kLeaf7Ecx, out);
  show_bits(seven.edx, kLeaf7Edx, out);
  out << '\n';
}

void show_text(std::span<const std::uint32_t> words, Text& out) {
  const std::string_view text = text_of(std::as_bytes(words));
  out << text.substr(0, text.find('\0'));
}

void show_vendor(Text& out) {
  const frame::CpuidResult first = frame::cpuid(0, 0);
  const std::array<std::uint32_t, 3> words{first.ebx, first.edx, first.ecx};
  show_text(words, out);
}

void show_model_name(Text& out) {
  std::array<std::uint32_t, 12> words{};
  for (std::uint32_t i = 0; i < 3; ++i) {
    const frame::CpuidResult part = frame::cpuid(0x80000002 + i, 0);
    words[i * 4] = part.eax;
    words[i * 4 + 1] = part.ebx;
    words[i * 4 + 2] = part.ecx;
    words[i * 4 + 3] = part.edx;
  }
  show_text(words, out);
}

}  // namespace

Result<> show_cpuinfo(Text& out, std::uint32_t) {
  const frame::CpuidResult basic = frame::cpuid(1, 0);
  const frame::CpuidResult sizes = frame::cpuid(0x80000008, 0);
  const frame::CpuidResult cache = frame::cpuid(0x80000006, 0);
  const std::uint32_t base_family = (basic.eax >> 8) & 0xf;
  const std::uint32_t family = base_family + (base_family == 0xf ? (basic.eax >> 20) & 0xff : 0);
  const std::uint32_t model = ((basic.eax >> 4) & 0xf) | (base_family == 6 || base_family == 0xf ? (basic.eax >> 12) & 0xf0 : 0);
  const std::uint32_t mhz = frame::cpuid(0x16, 0).eax & 0xffff;
  const std::uint32_t cpus = vcpu_count();
  for (std::uint32_t cpu = 0; cpu < cpus; ++cpu) {
    out << "processor\t: " << cpu << "\nvendor_id\t: ";
    show_vendor(out);
    out << "\ncpu family\t: " << family << "\nmodel\t\t: " << model << "\nmodel name\t: ";
    show_model_name(out);
    out << "\nstepping\t: " << (basic.eax & 0xf) << "\nmicrocode\t: 0x1\ncpu MHz\t\t: " << (mhz != 0 ? mhz : 2000)
        << ".000\ncache size\t: " << (cache.ecx >> 16) << " KB\nphysical id\t: 0\nsiblings\t: " << cpus << "\ncore id\t\t: " << cpu
        << "\ncpu cores\t: " << cpus << "\napicid\t\t: " << cpu << "\ninitial apicid\t: " << cpu
        << "\nfpu\t\t: yes\nfpu_exception\t: yes\ncpuid level\t: " << frame::cpuid(0, 0).eax << "\nwp\t\t: yes\n";
    show_flags(out);
    const std::uint32_t line = ((basic.ebx >> 8) & 0xff) * 8;
    out << "bugs\t\t:\nbogomips\t: " << (mhz != 0 ? mhz : 2000) * 2 << ".00\nclflush size\t: " << line << "\ncache_alignment\t: " << line
        << "\naddress sizes\t: " << (sizes.eax & 0xff) << " bits physical, " << ((sizes.eax >> 8) & 0xff) << " bits virtual\npower management:\n\n";
  }
  return {};
}

}  // namespace kernel
