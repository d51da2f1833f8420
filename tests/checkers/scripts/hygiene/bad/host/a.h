#ifndef WRONG_H
#define WRONG_H
using namespace std;
	int tab;
int blanks;  
#endif
