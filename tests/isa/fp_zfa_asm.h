/* Zfa for assemblers without it (binutils before 2.41): fp_oracle.c's mnemonics as macros. */
asm(".set rne, 0\n .set rtz, 1\n .set rdn, 2\n .set rup, 3\n .set rmm, 4\n .set dyn, 7\n"
    /* fmt: 0 single, 1 double, 2 half, as in the instruction's bits 26..25. */
    ".macro zfa_precision s, fmt\n"
    ".macro fround.\\s rd, rs1, rm\n .insn r 0x53, \\rm, 0x20 + \\fmt, \\rd, \\rs1, f4\n .endm\n"
    ".macro froundnx.\\s rd, rs1, rm\n .insn r 0x53, \\rm, 0x20 + \\fmt, \\rd, \\rs1, f5\n .endm\n"
    ".macro fminm.\\s rd, rs1, rs2\n .insn r 0x53, 2, 0x14 + \\fmt, \\rd, \\rs1, \\rs2\n .endm\n"
    ".macro fmaxm.\\s rd, rs1, rs2\n .insn r 0x53, 3, 0x14 + \\fmt, \\rd, \\rs1, \\rs2\n .endm\n"
    ".macro fleq.\\s rd, rs1, rs2\n .insn r 0x53, 4, 0x50 + \\fmt, \\rd, \\rs1, \\rs2\n .endm\n"
    ".macro fltq.\\s rd, rs1, rs2\n .insn r 0x53, 5, 0x50 + \\fmt, \\rd, \\rs1, \\rs2\n .endm\n"
    ".macro fli.\\s rd, number\n .insn r 0x53, 0, 0x78 + \\fmt, \\rd, f\\number, f1\n .endm\n"
    ".endm\n"
    "zfa_precision s, 0\n zfa_precision d, 1\n zfa_precision h, 2\n"
    ".macro fcvtmod.w.d rd, rs1\n .insn r 0x53, 1, 0x61, \\rd, \\rs1, f8\n .endm\n");
