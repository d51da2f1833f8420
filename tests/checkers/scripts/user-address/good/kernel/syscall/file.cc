// p.address() is not for us
Result<int> get(UserPtr<int> p) { return p.load(); }
