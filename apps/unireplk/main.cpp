#include "unireplk/runner/program.h"

int main(int argc, char** argv) { return static_cast<int>(unireplk::runner::run_program(argc, argv)); }
