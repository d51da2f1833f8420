// Every check that a leaf function makes has a number, so that a mutation build (EMULATOR_MUTATION) can switch it off and a test can
// prove that some case notices. In the ordinary build a check is just an `if`. Not numbered are refusals that the host's page protection
// makes a second time (access to operands of a leaf) and those without which the code could not go on.
#ifndef EMULATOR_CHECKS_H
#define EMULATOR_CHECKS_H

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace emulator {

// clang-format off
#define EMULATOR_CHECKS(X) \
  X(ecreate_size) X(ecreate_base) X(ecreate_frame_size) X(ecreate_xfrm) X(ecreate_attributes) X(ecreate_mode64) \
  X(ecreate_miscselect) X(ecreate_config_without_kss) X(ecreate_reserved) \
  X(eadd_initialized) X(eadd_secinfo_reserved) X(eadd_page_aligned) X(eadd_in_elrange) X(eadd_type) X(eadd_write_only) \
  X(eadd_not_valid_before) X(eadd_tcs_reserved) X(eadd_tcs_flags) \
  X(eextend_initialized) X(eextend_aligned) X(eextend_in_elrange) X(eextend_valid) \
  X(einit_initialized) X(einit_structure) X(einit_signature) X(einit_measurement) X(einit_attributes) \
  X(eaug_sgx2) X(eaug_initialized) X(eaug_page_aligned) X(eaug_in_elrange) X(eaug_not_valid_before) \
  X(emodpr_sgx2) X(emodpr_initialized) X(emodpr_page_aligned) X(emodpr_in_elrange) X(emodpr_secinfo_reserved) X(emodpr_write_only) \
  X(emodpr_modifiable) X(emodpr_reg) \
  X(emodt_sgx2) X(emodt_initialized) X(emodt_page_aligned) X(emodt_in_elrange) X(emodt_secinfo_reserved) X(emodt_type) \
  X(emodt_modifiable) X(emodt_source_type) X(emodt_tcs_active) \
  X(eremove_page_aligned) X(eremove_in_elrange) X(eremove_active) X(eremove_only_trimmed) \
  X(etrack_previous) X(edbg_debug) X(edbg_aligned) X(edbg_in_elrange) X(edbg_valid) X(edbg_accessible) \
  X(enclu_mode_outside) X(enclu_sgx2) \
  X(entry_tcs_aligned) X(entry_tcs_present) X(entry_ssa_present) X(entry_tcs_accepted) \
  X(entry_initialized) X(entry_ossa_aligned) X(entry_fsgs_aligned) X(entry_tcs_busy) X(entry_target_canonical) \
  X(eenter_cssa) X(eresume_cssa) X(entry_ssa_access) X(eresume_xsave_header) X(eresume_mxcsr) X(eresume_rip) X(eresume_bases) \
  X(eexit_target) \
  X(secinfo_aligned) X(secinfo_in_elrange) X(secinfo_reserved) \
  X(eaccept_aligned) X(eaccept_in_elrange) X(eaccept_combination) X(eaccept_valid) X(eaccept_match) \
  X(eaccept_tracked) X(eaccept_tcs_reserved) X(eaccept_tcs_state) \
  X(eacceptcopy_aligned) X(eacceptcopy_in_elrange) X(eacceptcopy_secinfo) X(eacceptcopy_dest_valid) \
  X(eacceptcopy_dest_pending) \
  X(emodpe_aligned) X(emodpe_in_elrange) X(emodpe_write_only) X(emodpe_valid) X(emodpe_accepted) \
  X(ereport_aligned) X(ereport_in_elrange) X(ereport_target) \
  X(egetkey_aligned) X(egetkey_in_elrange) X(egetkey_request) X(egetkey_name) X(egetkey_attribute) \
  X(egetkey_cpusvn) X(egetkey_isvsvn)
// clang-format on

enum class CheckId : std::uint32_t {
#define EMULATOR_CHECK_ENUM(name) name,
  EMULATOR_CHECKS(EMULATOR_CHECK_ENUM)
#undef EMULATOR_CHECK_ENUM
      count
};

#ifdef EMULATOR_MUTATION
inline CheckId g_disabled_check = CheckId::count;  // the one check that is off
inline bool check_enabled(CheckId id) { return id != g_disabled_check; }
#else
constexpr bool check_enabled(CheckId) { return true; }
#endif

// The name of a check, for messages of the mutation test.
constexpr std::string_view check_name(CheckId id) {
  constexpr std::string_view kNames[] = {
#define EMULATOR_CHECK_NAME(name) #name,
      EMULATOR_CHECKS(EMULATOR_CHECK_NAME)
#undef EMULATOR_CHECK_NAME
  };
  return kNames[static_cast<std::size_t>(id)];
}

// Leaves the leaf with `failure` unless `condition` holds.
#define CHECK_LEAF(id, condition, failure)                                            \
  do {                                                                                \
    if (!(condition) && ::emulator::check_enabled(::emulator::CheckId::id)) return failure; \
  } while (false)

}  // namespace emulator
#endif  // EMULATOR_CHECKS_H
