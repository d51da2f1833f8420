// Keys and reports as EGETKEY and EREPORT make them (SDM 38.14), under the secret of an emulated processor. The layout of the key
// dependency record is our own (the real one is not public); what a key depends on is architectural.
#ifndef SGX_KEYS_H
#define SGX_KEYS_H

#include <array>
#include <cstdint>

#include "sgx/arch.h"
#include "sgx/result.h"

namespace sgx {

// What a processor knows: its secret, the owner's epoch, its security version and the key id of its reports.
struct Device {
  Key128 root_key;     // secret, per machine
  Key128 owner_epoch;  // SGXOWNEREPOCH
  Cpusvn cpusvn;       // current; each byte is a component of its own
  std::array<std::uint8_t, 32> report_key_id;  // CR_REPORT_KEYID
};

// What the SECS of an initialised enclave says about it.
struct EnclaveIdentity {
  Hash mrenclave;
  Hash mrsigner;
  Attributes attributes;  // with INIT
  std::uint32_t miscselect;
  std::uint16_t isv_prod_id;
  std::uint16_t isv_svn;
  std::uint16_t config_svn;
  std::uint8_t cet_attributes;
  ConfigId config_id;
  Id128 isv_family_id;
  Id128 isv_ext_prod_id;
};

// EGETKEY without its operand checks (alignment, pages), which are the caller's. #GP: reserved bits set, or a KSS policy bit or
// CONFIGSVN without the KSS attribute. Errors: invalid_keyname, invalid_cpusvn, invalid_isvsvn (for SEAL also by CONFIGSVN),
// invalid_attribute (a provisioning or launch key without its attribute).
LeafResult<Key128> egetkey(const Device& device, const EnclaveIdentity& identity, const Keyrequest& request);

// EREPORT without its operand checks. #GP: reserved bytes of TARGETINFO are not zero. The manual's pseudo code does not look at
// them; refusing keeps software from relying on that.
LeafResult<Report> ereport(const Device& device, const EnclaveIdentity& identity, const Targetinfo& target,
                           const Reportdata& data);

// The TARGETINFO that makes a report for the enclave `identity`.
Targetinfo target_of(const EnclaveIdentity& identity);

// MAC of a report's body under a report key: AES-128-CMAC. Error: the crypto library failed.
Result<Key128> report_mac(const Key128& report_key, const ReportBody& body);

// True if `report` was made on this device for the enclave `target`. Compares in constant time.
bool check_report(const Device& device, const EnclaveIdentity& target, const Report& report);

// True if no component of `requested` is above that of `current`.
bool cpusvn_allowed(const Cpusvn& requested, const Cpusvn& current);

// AES-128-CMAC (NIST SP 800-38B). Error: the crypto library failed.
Result<Key128> aes128_cmac(const Key128& key, Bytes message);

}  // namespace sgx
#endif  // SGX_KEYS_H
