#include "sgx/keys.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace {

using sgx::Device;
using sgx::EnclaveIdentity;
using sgx::KeyName;
using sgx::Key128;
using sgx::Keyrequest;
using sgx::LeafFailure;
using sgx::SgxError;

struct World {
  Device device{};
  EnclaveIdentity identity{};
  Keyrequest request{};
};
using Change = std::function<void(World&)>;
struct Named {
  const char* name;
  Change change;
};

// An enclave with every attribute on, so that every key name can be asked for.
World make_world(KeyName name, std::uint16_t policy) {
  World w;
  w.device.root_key.fill(0x11);
  w.device.owner_epoch.fill(0x22);
  w.device.cpusvn.fill(4);
  w.device.report_key_id.fill(0x33);
  w.identity.mrenclave.fill(0xaa);
  w.identity.mrsigner.fill(0xbb);
  w.identity.attributes = {sgx::kAttrInit | sgx::kAttrMode64 | sgx::kAttrProvisionKey | sgx::kAttrEinitTokenKey | sgx::kAttrKss,
                           sgx::kXfrmLegacy | sgx::kXfrmAvx};
  w.identity.miscselect = sgx::kMiscExinfo;
  w.identity.isv_prod_id = 3;
  w.identity.isv_svn = 5;
  w.identity.config_svn = 6;
  w.identity.config_id.fill(0xcc);
  w.identity.isv_family_id.fill(0xdd);
  w.identity.isv_ext_prod_id.fill(0xee);
  w.request.key_name = static_cast<std::uint16_t>(name);
  w.request.key_policy = policy;
  w.request.isv_svn = 5;
  w.request.config_svn = 6;
  w.request.cpusvn.fill(4);
  w.request.attribute_mask = {sgx::kAttrInit | sgx::kAttrDebug | sgx::kAttrMode64, sgx::kXfrmLegacy};
  w.request.misc_mask = sgx::kMiscExinfo;
  w.request.key_id.fill(0x77);
  return w;
}

// Every single input that a key could depend on.
const std::vector<Named>& changes() {
  static const std::vector<Named> list{
      {"root key", [](World& w) { w.device.root_key[0] ^= 1; }},
      {"owner epoch", [](World& w) { w.device.owner_epoch[15] ^= 1; }},
      {"device cpusvn", [](World& w) { w.device.cpusvn[0] += 1; }},
      {"report key id", [](World& w) { w.device.report_key_id[0] ^= 1; }},
      {"mrenclave", [](World& w) { w.identity.mrenclave[31] ^= 1; }},
      {"mrsigner", [](World& w) { w.identity.mrsigner[0] ^= 1; }},
      {"debug", [](World& w) { w.identity.attributes.flags |= sgx::kAttrDebug; }},
      {"mode64", [](World& w) { w.identity.attributes.flags ^= sgx::kAttrMode64; }},
      {"aexnotify", [](World& w) { w.identity.attributes.flags ^= sgx::kAttrAexNotify; }},
      {"xfrm", [](World& w) { w.identity.attributes.xfrm ^= sgx::kXfrmAvx; }},
      {"miscselect", [](World& w) { w.identity.miscselect = 0; }},
      {"isv prod id", [](World& w) { w.identity.isv_prod_id ^= 1; }},
      {"isv svn", [](World& w) { w.identity.isv_svn += 1; }},
      {"config svn", [](World& w) { w.identity.config_svn += 1; }},
      {"config id", [](World& w) { w.identity.config_id[63] ^= 1; }},
      {"family id", [](World& w) { w.identity.isv_family_id[0] ^= 1; }},
      {"ext prod id", [](World& w) { w.identity.isv_ext_prod_id[0] ^= 1; }},
      {"requested isv svn", [](World& w) { w.request.isv_svn -= 1; }},
      {"requested config svn", [](World& w) { w.request.config_svn -= 1; }},
      {"requested cpusvn", [](World& w) { w.request.cpusvn[15] -= 1; }},
      {"attribute mask", [](World& w) { w.request.attribute_mask.flags |= sgx::kAttrCet; }},
      {"xfrm mask", [](World& w) { w.request.attribute_mask.xfrm |= sgx::kXfrmPkru; }},
      {"misc mask", [](World& w) { w.request.misc_mask |= 2; }},
      {"key id", [](World& w) { w.request.key_id[0] ^= 1; }},
      {"policy mrenclave", [](World& w) { w.request.key_policy ^= sgx::kPolicyMrenclave; }},
      {"policy mrsigner", [](World& w) { w.request.key_policy ^= sgx::kPolicyMrsigner; }},
  };
  return list;
}

// Exactly the inputs named in `expected` may change the key.
void expect_dependencies(KeyName name, std::uint16_t policy, const std::vector<std::string>& expected) {
  const World base = make_world(name, policy);
  const auto key = sgx::egetkey(base.device, base.identity, base.request);
  ASSERT_TRUE(key.has_value());
  EXPECT_EQ(*key, *sgx::egetkey(base.device, base.identity, base.request));
  for (const Named& named : changes()) {
    World changed = base;
    named.change(changed);
    const auto other = sgx::egetkey(changed.device, changed.identity, changed.request);
    ASSERT_TRUE(other.has_value()) << named.name;
    const bool depends = std::ranges::find(expected, std::string(named.name)) != expected.end();
    EXPECT_EQ(*key != *other, depends) << named.name;
  }
}

TEST(Cmac, NistVectors) {  // SP 800-38B, D.1
  const Key128 key{0x2b, 0x7e, 0x15, 0x16, 0x28, 0xae, 0xd2, 0xa6, 0xab, 0xf7, 0x15, 0x88, 0x09, 0xcf, 0x4f, 0x3c};
  const std::vector<std::uint8_t> block{0x6b, 0xc1, 0xbe, 0xe2, 0x2e, 0x40, 0x9f, 0x96,
                                        0xe9, 0x3d, 0x7e, 0x11, 0x73, 0x93, 0x17, 0x2a};
  const Key128 empty_mac{0xbb, 0x1d, 0x69, 0x29, 0xe9, 0x59, 0x37, 0x28, 0x7f, 0xa3, 0x7d, 0x12, 0x9b, 0x75, 0x67, 0x46};
  const Key128 block_mac{0x07, 0x0a, 0x16, 0xb4, 0x6b, 0x4d, 0x41, 0x44, 0xf7, 0x9b, 0xdd, 0x9d, 0xd0, 0x4a, 0x28, 0x7c};
  EXPECT_EQ(sgx::aes128_cmac(key, {}).value(), empty_mac);
  EXPECT_EQ(sgx::aes128_cmac(key, block).value(), block_mac);
  const std::vector<std::uint8_t> blocks{0x6b, 0xc1, 0xbe, 0xe2, 0x2e, 0x40, 0x9f, 0x96, 0xe9, 0x3d, 0x7e, 0x11, 0x73, 0x93, 0x17, 0x2a,
                                         0xae, 0x2d, 0x8a, 0x57, 0x1e, 0x03, 0xac, 0x9c, 0x9e, 0xb7, 0x6f, 0xac, 0x45, 0xaf, 0x8e, 0x51,
                                         0x30, 0xc8, 0x1c, 0x46, 0xa3, 0x5c, 0xe4, 0x11, 0xe5, 0xfb, 0xc1, 0x19, 0x1a, 0x0a, 0x52, 0xef,
                                         0xf6, 0x9f, 0x24, 0x45, 0xdf, 0x4f, 0x9b, 0x17, 0xad, 0x2b, 0x41, 0x7b, 0xe6, 0x6c, 0x37, 0x10};
  const Key128 part_mac{0xdf, 0xa6, 0x67, 0x47, 0xde, 0x9a, 0xe6, 0x30, 0x30, 0xca, 0x32, 0x61, 0x14, 0x97, 0xc8, 0x27};
  const Key128 blocks_mac{0x51, 0xf0, 0xbe, 0xbf, 0x7e, 0x3b, 0x9d, 0x92, 0xfc, 0x49, 0x74, 0x17, 0x79, 0x36, 0x3c, 0xfe};
  EXPECT_EQ(sgx::aes128_cmac(key, std::span(blocks).first(40)).value(), part_mac);
  EXPECT_EQ(sgx::aes128_cmac(key, blocks).value(), blocks_mac);
}

TEST(Egetkey, SealKeyByMrsigner) {
  expect_dependencies(KeyName::seal, sgx::kPolicyMrsigner,
                      {"root key", "owner epoch", "mrsigner", "debug", "mode64", "miscselect", "isv prod id",
                       "requested isv svn", "requested cpusvn", "attribute mask", "xfrm mask", "misc mask", "key id",
                       "policy mrenclave", "policy mrsigner"});
}

TEST(Egetkey, SealKeyByMrenclave) {
  expect_dependencies(KeyName::seal, sgx::kPolicyMrenclave,
                      {"root key", "owner epoch", "mrenclave", "debug", "mode64", "miscselect", "isv prod id",
                       "requested isv svn", "requested cpusvn", "attribute mask", "xfrm mask", "misc mask", "key id",
                       "policy mrenclave", "policy mrsigner"});
}

TEST(Egetkey, SealKeyWithEveryKssPolicy) {
  expect_dependencies(KeyName::seal, sgx::kPolicyMrsigner | sgx::kPolicyKss,
                      {"root key", "owner epoch", "mrsigner", "debug", "mode64", "miscselect", "config id", "family id",
                       "ext prod id", "requested isv svn", "requested config svn", "requested cpusvn", "attribute mask",
                       "xfrm mask", "misc mask", "key id", "policy mrenclave", "policy mrsigner"});
}

TEST(Egetkey, ReportKey) {
  expect_dependencies(KeyName::report, 0,
                      {"root key", "owner epoch", "device cpusvn", "mrenclave", "debug", "mode64", "aexnotify", "xfrm",
                       "miscselect", "config svn", "config id", "key id"});
}

TEST(Egetkey, ProvisionKey) {
  const std::vector<std::string> expected{"root key", "mrsigner", "debug", "mode64", "miscselect", "isv prod id",
                                          "requested isv svn", "requested cpusvn", "attribute mask", "xfrm mask", "misc mask"};
  expect_dependencies(KeyName::provision, 0, expected);
  expect_dependencies(KeyName::provision, sgx::kPolicyKss, expected);  // it has no policy
}

TEST(Egetkey, ProvisionSealKey) {
  expect_dependencies(KeyName::provision_seal, 0,
                      {"root key", "mrsigner", "debug", "mode64", "miscselect", "isv prod id", "requested isv svn",
                       "requested cpusvn", "attribute mask", "xfrm mask", "misc mask", "policy mrenclave", "policy mrsigner"});
  expect_dependencies(KeyName::provision_seal, sgx::kPolicyKss,
                      {"root key", "mrsigner", "debug", "mode64", "miscselect", "config id", "family id", "ext prod id",
                       "requested isv svn", "requested config svn", "requested cpusvn", "attribute mask", "xfrm mask",
                       "misc mask", "policy mrenclave", "policy mrsigner"});
}

TEST(Egetkey, LaunchKey) {
  expect_dependencies(KeyName::einit_token, 0,
                      {"root key", "owner epoch", "mrsigner", "debug", "mode64", "miscselect", "isv prod id",
                       "requested isv svn", "requested cpusvn", "key id"});
}

TEST(Egetkey, NamesGiveDifferentKeys) {
  std::vector<Key128> keys;
  for (const KeyName name :
       {KeyName::einit_token, KeyName::provision, KeyName::provision_seal, KeyName::report, KeyName::seal}) {
    const World w = make_world(name, 0);
    const auto key = sgx::egetkey(w.device, w.identity, w.request);
    ASSERT_TRUE(key.has_value());
    EXPECT_EQ(std::ranges::find(keys, *key), keys.end());
    keys.push_back(*key);
  }
}

TEST(Egetkey, EachKssPolicyBitMatters) {
  const World base = make_world(KeyName::seal, sgx::kPolicyMrsigner);
  const auto key = sgx::egetkey(base.device, base.identity, base.request);
  for (const std::uint16_t bit :
       {sgx::kPolicyNoIsvProdId, sgx::kPolicyConfigId, sgx::kPolicyIsvFamilyId, sgx::kPolicyIsvExtProdId}) {
    World w = base;
    w.request.key_policy |= bit;
    EXPECT_NE(*key, *sgx::egetkey(w.device, w.identity, w.request)) << bit;
  }
  // NOISVPRODID takes the product id out.
  World a = base;
  a.request.key_policy |= sgx::kPolicyNoIsvProdId;
  World b = a;
  b.identity.isv_prod_id ^= 0x10;
  EXPECT_EQ(*sgx::egetkey(a.device, a.identity, a.request), *sgx::egetkey(b.device, b.identity, b.request));
}

void expect_failure(const World& w, LeafFailure expected, const char* what) {
  const auto key = sgx::egetkey(w.device, w.identity, w.request);
  ASSERT_FALSE(key.has_value()) << what;
  EXPECT_EQ(key.error().general_protection, expected.general_protection) << what;
  if (!expected.general_protection) EXPECT_EQ(key.error().code, expected.code) << what;
}

TEST(Egetkey, MalformedRequestsFault) {
  const std::vector<Named> bad{
      {"reserved1", [](World& w) { w.request.reserved1 = 1; }},
      {"reserved2 first", [](World& w) { w.request.reserved2[0] = 1; }},
      {"reserved2 last", [](World& w) { w.request.reserved2[433] = 1; }},
      {"policy bit 6", [](World& w) { w.request.key_policy |= 0x40; }},
      {"policy bit 15", [](World& w) { w.request.key_policy |= 0x8000; }},
  };
  for (const Named& named : bad) {
    World w = make_world(KeyName::seal, sgx::kPolicyMrsigner);
    named.change(w);
    expect_failure(w, LeafFailure::gp(), named.name);
  }
}

TEST(Egetkey, KssFieldsNeedTheAttribute) {
  World w = make_world(KeyName::seal, sgx::kPolicyMrsigner);
  w.identity.attributes.flags &= ~sgx::kAttrKss;
  expect_failure(w, LeafFailure::gp(), "config svn");
  w.request.config_svn = 0;
  EXPECT_TRUE(sgx::egetkey(w.device, w.identity, w.request).has_value());
  for (const std::uint16_t bit :
       {sgx::kPolicyNoIsvProdId, sgx::kPolicyConfigId, sgx::kPolicyIsvFamilyId, sgx::kPolicyIsvExtProdId}) {
    w.request.key_policy = bit;
    expect_failure(w, LeafFailure::gp(), "policy");
  }
}

TEST(Egetkey, VersionsAboveTheCurrentOnesAreRefused) {
  for (const KeyName name : {KeyName::seal, KeyName::provision, KeyName::provision_seal, KeyName::einit_token}) {
    World w = make_world(name, 0);
    w.request.cpusvn[7] = 5;
    expect_failure(w, LeafFailure::error(SgxError::invalid_cpusvn), "cpusvn");
    w = make_world(name, 0);
    w.request.isv_svn = 6;
    expect_failure(w, LeafFailure::error(SgxError::invalid_isvsvn), "isv svn");
  }
  World seal = make_world(KeyName::seal, 0);
  seal.request.config_svn = 7;
  expect_failure(seal, LeafFailure::error(SgxError::invalid_isvsvn), "config svn");
  // The report key takes no versions from the request.
  World w = make_world(KeyName::report, 0);
  w.request.isv_svn = 0xffff;
  w.request.cpusvn.fill(0xff);
  EXPECT_TRUE(sgx::egetkey(w.device, w.identity, w.request).has_value());
}

TEST(Egetkey, NamesAndAttributes) {
  for (const std::uint16_t name : std::to_array<std::uint16_t>({5, 6, 0x100, 0xffff})) {
    World w = make_world(KeyName::seal, 0);
    w.request.key_name = name;
    expect_failure(w, LeafFailure::error(SgxError::invalid_keyname), "name");
  }
  World w = make_world(KeyName::provision, 0);
  w.identity.attributes.flags &= ~sgx::kAttrProvisionKey;
  expect_failure(w, LeafFailure::error(SgxError::invalid_attribute), "provision");
  w.request.key_name = static_cast<std::uint16_t>(KeyName::provision_seal);
  expect_failure(w, LeafFailure::error(SgxError::invalid_attribute), "provision seal");
  w = make_world(KeyName::einit_token, 0);
  w.identity.attributes.flags &= ~sgx::kAttrEinitTokenKey;
  expect_failure(w, LeafFailure::error(SgxError::invalid_attribute), "launch");
}

TEST(Cpusvn, ComponentsAreComparedOneByOne) {
  const sgx::Cpusvn current{4, 4};
  EXPECT_TRUE(sgx::cpusvn_allowed({4, 4}, current));
  EXPECT_TRUE(sgx::cpusvn_allowed({0, 0}, current));
  EXPECT_FALSE(sgx::cpusvn_allowed({5, 0}, current));
  EXPECT_FALSE(sgx::cpusvn_allowed({0, 5}, current));
}

sgx::Reportdata report_data() {
  sgx::Reportdata data;
  data.fill(0x99);
  return data;
}

TEST(Ereport, BodyAndMacForTheTarget) {
  const World w = make_world(KeyName::report, 0);
  EnclaveIdentity target = w.identity;
  target.mrenclave.fill(0x44);
  const auto report = sgx::ereport(w.device, w.identity, sgx::target_of(target), report_data());
  ASSERT_TRUE(report.has_value());
  EXPECT_EQ(report->body.mrenclave, w.identity.mrenclave);
  EXPECT_EQ(report->body.mrsigner, w.identity.mrsigner);
  EXPECT_EQ(report->body.attributes, w.identity.attributes);
  EXPECT_EQ(report->body.miscselect, w.identity.miscselect);
  EXPECT_EQ(report->body.cpusvn, w.device.cpusvn);
  EXPECT_EQ(report->body.isv_prod_id, 3);
  EXPECT_EQ(report->body.isv_svn, 5);
  EXPECT_EQ(report->body.config_svn, 6);
  EXPECT_EQ(report->body.config_id, w.identity.config_id);
  EXPECT_EQ(report->body.isv_family_id, w.identity.isv_family_id);
  EXPECT_EQ(report->body.isv_ext_prod_id, w.identity.isv_ext_prod_id);
  EXPECT_EQ(report->body.report_data, report_data());
  EXPECT_TRUE(sgx::check_report(w.device, target, *report));
  EXPECT_FALSE(sgx::check_report(w.device, w.identity, *report));  // made for somebody else
}

TEST(Ereport, TheTargetChecksWithItsReportKey) {
  const World w = make_world(KeyName::report, 0);
  const auto report = sgx::ereport(w.device, w.identity, sgx::target_of(w.identity), report_data());
  ASSERT_TRUE(report.has_value());
  Keyrequest request{};
  request.key_name = static_cast<std::uint16_t>(KeyName::report);
  request.key_id = report->key_id;
  const auto key = sgx::egetkey(w.device, w.identity, request);
  ASSERT_TRUE(key.has_value());
  EXPECT_EQ(sgx::report_mac(*key, report->body).value(), report->mac);
}

TEST(Ereport, EveryByteOfAReportMatters) {
  const World w = make_world(KeyName::report, 0);
  const auto report = sgx::ereport(w.device, w.identity, sgx::target_of(w.identity), report_data());
  ASSERT_TRUE(report.has_value());
  auto bytes = std::bit_cast<std::array<std::uint8_t, sizeof(sgx::Report)>>(*report);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes.at(i) ^= 0x10;
    EXPECT_FALSE(sgx::check_report(w.device, w.identity, std::bit_cast<sgx::Report>(bytes))) << i;
    bytes.at(i) ^= 0x10;
  }
  Device other = w.device;
  other.root_key[3] ^= 1;
  EXPECT_FALSE(sgx::check_report(other, w.identity, *report));
}

TEST(Ereport, ReservedTargetBytesFault) {
  const World w = make_world(KeyName::report, 0);
  const std::vector<std::function<void(sgx::Targetinfo&)>> bad{[](sgx::Targetinfo& t) { t.reserved1 = 1; },
                                                               [](sgx::Targetinfo& t) { t.reserved2[7] = 1; },
                                                               [](sgx::Targetinfo& t) { t.reserved3[383] = 1; }};
  for (const auto& change : bad) {
    sgx::Targetinfo target = sgx::target_of(w.identity);
    change(target);
    const auto report = sgx::ereport(w.device, w.identity, target, report_data());
    ASSERT_FALSE(report.has_value());
    EXPECT_TRUE(report.error().general_protection);
  }
}

}  // namespace
