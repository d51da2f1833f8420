#define UNSAFE_BUFFERS(...) __VA_ARGS__
#define VIA_MACRO(p) \
  reinterpret_cast<char*>(p)
// SAFETY: any object may be looked at as bytes;
// the caller keeps it alive.
char* first(int* p) { return reinterpret_cast<char*>(p); }
int* second(const int* p) { return const_cast<int*>(p); }  // SAFETY: the object is not const
// SAFETY: one note for a statement of three lines
int* third(const int* p,
           int) {
  // SAFETY: the same
  return
      const_cast<int*>(p);
}
// SAFETY: (whole class) every index is checked
UNSAFE_BUFFERS_BEGIN
int at(int* p) { return p[3]; }
int* same(const int* p) { return const_cast<int*>(p); }
UNSAFE_BUFFERS_END
// reinterpret_cast in a comment, "const_cast" in a string:
const char* text = "const_cast<int*>";
