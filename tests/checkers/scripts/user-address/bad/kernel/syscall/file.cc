unsigned long where(UserPtr<int> p) { return p.address(); }
unsigned long also(UserBytes* b) { return b->address(); }
