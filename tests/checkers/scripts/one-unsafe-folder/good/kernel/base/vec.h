inline char* raw(int* n) { return reinterpret_cast<char*>(n); }
