#ifndef HOST_A_H
#define HOST_A_H
// using namespace std;
int fine;
#endif
