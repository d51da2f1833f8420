unsigned long where(UserPtr<int> p) { return p.address(); }
