/* Leaks a block and keeps another, which test_valgrind.py must report. */
#include <stdlib.h>

static char *volatile kept;

int main(void) {
    char *volatile lost = (char *)malloc(100);
    lost = NULL;
    kept = (char *)malloc(200);
    return lost != NULL;
}
