// A comment does not count.
int a;

int b;
int c;
