/* Loses a block of its own, and keeps another: what the judge of valgrind's findings must notice. */
#include <stdlib.h>

static char *volatile kept;

int main(void) {
    char *volatile lost = (char *)malloc(100);
    lost = NULL;
    kept = (char *)malloc(200);
    return lost != NULL;
}
