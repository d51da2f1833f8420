void stop() { asm("hlt"); }
