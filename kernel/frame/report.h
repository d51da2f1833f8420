// The enclave's own report (EREPORT), for the check at boot that the kernel runs with the attributes its configuration asks for.
#ifndef KERNEL_FRAME_REPORT_H
#define KERNEL_FRAME_REPORT_H

#include "kernel/base/result.h"
#include "sgx/arch.h"

namespace kernel::frame {

// A report on this enclave for `target`, over `data`. EIO if the leaf refuses.
Result<sgx::Report> make_report(const sgx::Targetinfo& target, const sgx::Reportdata& data);

}  // namespace kernel::frame
#endif  // KERNEL_FRAME_REPORT_H
