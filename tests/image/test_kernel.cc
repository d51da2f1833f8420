// A kernel that does nothing: enough to be placed, relocated and measured.
namespace {
int counter = 0;
int* volatile pointer = &counter;  // a relocation
}  // namespace

extern "C" [[noreturn]] void kernel_entry();
extern "C" [[noreturn]] void kernel_entry() {
  for (;;) *pointer = 1;
}
