char* first(int* p) { return reinterpret_cast<char*>(p); }

// Says something, but not why it is right.
int* second(const int* p) { return const_cast<int*>(p); }

// SAFETY: this note belongs to the first function only.
int* third(const int* p) { return const_cast<int*>(p); }
int between = 0;
void fourth() NO_THREAD_SAFETY_ANALYSIS;
UNSAFE_BUFFERS_BEGIN
int at(int* p) { return p[3]; }
UNSAFE_BUFFERS_END
