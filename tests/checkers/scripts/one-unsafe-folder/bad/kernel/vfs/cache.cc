struct Node { int value; };
volatile int counter;
union Both { int a; float b; };
char* raw(Node* n) { return reinterpret_cast<char*>(n); }
int* mutable_of(const int* p) { return const_cast<int*>(p); }
void copy(char* to, const char* from) { __builtin_memcpy(to, from, 8); }
void stop() { asm("hlt"); }
Node* make() { return new Node; }
void drop(Node* n) { delete n; }
void* c_way() { return malloc(8); }
