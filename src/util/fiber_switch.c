#include "util/fiber_internal.h"

/* Only what the ABI says a callee must preserve is saved; the floating point
 * control words are the same in all fibers. The saved stack pointer is the whole
 * context. A new context looks as if it had been saved just before the trampoline,
 * with entry and arg in two of the saved registers. */

#if defined(__x86_64__) && !defined(FIBER_UCONTEXT)
__asm__(".text\n"
        ".p2align 4\n"
        ".globl fiber_switch_asm\n"
        ".hidden fiber_switch_asm\n"
        ".type fiber_switch_asm,@function\n"
        "fiber_switch_asm:\n"
        ".cfi_startproc\n"
        "    pushq %rbp\n"
        "    pushq %rbx\n"
        "    pushq %r12\n"
        "    pushq %r13\n"
        "    pushq %r14\n"
        "    pushq %r15\n"
        "    movq %rsp, (%rdi)\n"
        "    movq %rsi, %rsp\n"
        "    popq %r15\n"
        "    popq %r14\n"
        "    popq %r13\n"
        "    popq %r12\n"
        "    popq %rbx\n"
        "    popq %rbp\n"
        "    ret\n"
        ".cfi_endproc\n"
        ".size fiber_switch_asm,.-fiber_switch_asm\n"
        ".p2align 4\n"
        ".globl fiber_trampoline_asm\n"
        ".hidden fiber_trampoline_asm\n"
        ".type fiber_trampoline_asm,@function\n"
        "fiber_trampoline_asm:\n"
        ".cfi_startproc\n"
        ".cfi_undefined rip\n"
        "    movq %r12, %rdi\n"
        "    callq *%r13\n"
        "    ud2\n"
        ".cfi_endproc\n"
        ".size fiber_trampoline_asm,.-fiber_trampoline_asm\n");

/* Nine words: the call in the trampoline needs a stack aligned to 16. */
enum { FRAME_WORDS = 9, FRAME_ENTRY = 2, FRAME_ARG = 3, FRAME_PC = 6 };

#elif defined(__aarch64__) && !defined(FIBER_UCONTEXT)
__asm__(".text\n"
        ".p2align 4\n"
        ".globl fiber_switch_asm\n"
        ".hidden fiber_switch_asm\n"
        ".type fiber_switch_asm,%function\n"
        "fiber_switch_asm:\n"
        ".cfi_startproc\n"
        "    sub sp, sp, #160\n"
        "    stp x19, x20, [sp, #0]\n"
        "    stp x21, x22, [sp, #16]\n"
        "    stp x23, x24, [sp, #32]\n"
        "    stp x25, x26, [sp, #48]\n"
        "    stp x27, x28, [sp, #64]\n"
        "    stp x29, x30, [sp, #80]\n"
        "    stp d8, d9, [sp, #96]\n"
        "    stp d10, d11, [sp, #112]\n"
        "    stp d12, d13, [sp, #128]\n"
        "    stp d14, d15, [sp, #144]\n"
        "    mov x9, sp\n"
        "    str x9, [x0]\n"
        "    mov sp, x1\n"
        "    ldp x19, x20, [sp, #0]\n"
        "    ldp x21, x22, [sp, #16]\n"
        "    ldp x23, x24, [sp, #32]\n"
        "    ldp x25, x26, [sp, #48]\n"
        "    ldp x27, x28, [sp, #64]\n"
        "    ldp x29, x30, [sp, #80]\n"
        "    ldp d8, d9, [sp, #96]\n"
        "    ldp d10, d11, [sp, #112]\n"
        "    ldp d12, d13, [sp, #128]\n"
        "    ldp d14, d15, [sp, #144]\n"
        "    add sp, sp, #160\n"
        "    ret\n"
        ".cfi_endproc\n"
        ".size fiber_switch_asm,.-fiber_switch_asm\n"
        ".p2align 4\n"
        ".globl fiber_trampoline_asm\n"
        ".hidden fiber_trampoline_asm\n"
        ".type fiber_trampoline_asm,%function\n"
        "fiber_trampoline_asm:\n"
        ".cfi_startproc\n"
        ".cfi_undefined x30\n"
        "    mov x0, x20\n"
        "    blr x19\n"
        "    brk #1\n"
        ".cfi_endproc\n"
        ".size fiber_trampoline_asm,.-fiber_trampoline_asm\n");

enum { FRAME_WORDS = 20, FRAME_ENTRY = 0, FRAME_ARG = 1, FRAME_PC = 11 };
#endif

#ifndef FIBER_UCONTEXT
void fiber_switch_asm(void **save_sp, void *load_sp);
void fiber_trampoline_asm(void);

void fiber_context_init(struct fiber_context *ctx, UNUSED char *base, char *top,
                        void (*entry)(void *), void *arg)
{
    uintptr_t aligned = (uintptr_t)top & ~(uintptr_t)15;
    uintptr_t *frame = (uintptr_t *)aligned - FRAME_WORDS;

    memset(frame, 0, FRAME_WORDS * sizeof frame[0]);
    frame[FRAME_ENTRY] = (uintptr_t)entry;
    frame[FRAME_ARG] = (uintptr_t)arg;
    frame[FRAME_PC] = (uintptr_t)fiber_trampoline_asm;
    ctx->sp = frame;
}

void fiber_context_switch(struct fiber_context *save, struct fiber_context *load)
{
    fiber_switch_asm(&save->sp, load->sp);
}

#else
/* makecontext passes ints only. */
static void ucontext_entry(unsigned entry_hi, unsigned entry_lo, unsigned arg_hi,
                           unsigned arg_lo)
{
    uintptr_t entry = (uintptr_t)((uint64_t)entry_hi << 32 | entry_lo);
    uintptr_t arg = (uintptr_t)((uint64_t)arg_hi << 32 | arg_lo);

    ((void (*)(void *))entry)((void *)arg);
}

void fiber_context_init(struct fiber_context *ctx, char *base, char *top,
                        void (*entry)(void *), void *arg)
{
    uint64_t e = (uintptr_t)entry, a = (uintptr_t)arg;

    if (getcontext(&ctx->uc) < 0)
        panic("getcontext failed");
    ctx->uc.uc_stack.ss_sp = base;
    ctx->uc.uc_stack.ss_size = (size_t)(top - base);
    ctx->uc.uc_link = NULL;
    makecontext(&ctx->uc, (void (*)(void))ucontext_entry, 4, (unsigned)(e >> 32),
                (unsigned)e, (unsigned)(a >> 32), (unsigned)a);
}

void fiber_context_switch(struct fiber_context *save, struct fiber_context *load)
{
    swapcontext(&save->uc, &load->uc);
}
#endif
