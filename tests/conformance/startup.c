// What a program finds when it starts: arguments, environment, auxiliary vector, vDSO, stack, TLS, constructors, exit handlers.
#include "conf.h"
#include <elf.h>
#include <link.h>
#include <stdint.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>

extern char **environ;
static int constructed;
static __thread int tls_zero;
static __thread int tls_value = 99;

static __attribute__((constructor)) void construct(int argc, char **argv)
{
    constructed = argc > 0 && argv[0] != NULL;
}

static void at_end(void)
{
    puts("exit handler");
}

static void vectors(int argc, char **argv)
{
    printf("%d arguments\n", argc);
    for (int i = 1; i < argc - 1; i++)
        printf("argv[%d] = [%s]\n", i, argv[i]);
    CHECK(argv[argc] == NULL);
    char **e = argv + argc + 1;
    CHECK(e == environ);
    while (*e)
        e++;
    CHECK(environ[0] == NULL || strchr(environ[0], '='));
    static const int present[] = {AT_PHDR, AT_PHENT, AT_PHNUM, AT_PAGESZ, AT_BASE, AT_ENTRY, AT_UID, AT_EUID, AT_GID, AT_EGID,
                                  AT_SECURE, AT_RANDOM, AT_HWCAP, AT_HWCAP2, AT_CLKTCK, AT_PLATFORM, AT_EXECFN, AT_SYSINFO_EHDR,
                                  AT_MINSIGSTKSZ};
    ElfW(auxv_t) *aux = (ElfW(auxv_t) *)(e + 1);
    for (size_t i = 0; i < sizeof present / sizeof *present; i++) {
        int found = 0;
        for (ElfW(auxv_t) *a = aux; a->a_type != AT_NULL; a++)
            found += a->a_type == (unsigned long)present[i];
        printf("auxv %d: %d\n", present[i], found);
    }
    RES(getauxval(AT_PAGESZ));
    RES(getauxval(AT_PHENT));
    RES(getauxval(AT_CLKTCK));
    RES(getauxval(AT_SECURE));
    CHECK(strcmp((const char *)getauxval(AT_PLATFORM), "x86_64") == 0);
    CHECK(strlen((const char *)getauxval(AT_EXECFN)) > 0);
    const unsigned char *random = (const unsigned char *)getauxval(AT_RANDOM);
    int zero = 0;
    for (int i = 0; i < 16; i++)
        zero += random[i] == 0;
    CHECK(zero < 8);
    const ElfW(Phdr) *ph = (const ElfW(Phdr) *)getauxval(AT_PHDR);
    int loads = 0;
    for (unsigned long i = 0; i < getauxval(AT_PHNUM); i++)
        loads += ph[i].p_type == PT_LOAD;
    CHECK(loads >= 2);
    char here;
    struct rlimit stack;
    RES(getrlimit(RLIMIT_STACK, &stack));
    CHECK((uintptr_t)argv > (uintptr_t)&here || (uintptr_t)argv < (uintptr_t)&here);
}

static void vdso(void)
{
    const ElfW(Ehdr) *eh = (const ElfW(Ehdr) *)getauxval(AT_SYSINFO_EHDR);
    if (!eh)
        return;
    CHECK(memcmp(eh->e_ident, ELFMAG, SELFMAG) == 0 && eh->e_type == ET_DYN);
    const ElfW(Phdr) *ph = (const ElfW(Phdr) *)((const char *)eh + eh->e_phoff);
    const ElfW(Dyn) *dyn = NULL;
    uintptr_t base = 0;
    for (int i = 0; i < eh->e_phnum; i++) {
        if (ph[i].p_type == PT_LOAD)
            base = (uintptr_t)eh + ph[i].p_offset - ph[i].p_vaddr;
        if (ph[i].p_type == PT_DYNAMIC)
            dyn = (const ElfW(Dyn) *)((const char *)eh + ph[i].p_offset);
    }
    const ElfW(Sym) *sym = NULL;
    const char *str = NULL;
    for (; dyn && dyn->d_tag != DT_NULL; dyn++) {
        if (dyn->d_tag == DT_SYMTAB)
            sym = (const ElfW(Sym) *)(base + dyn->d_un.d_ptr);
        if (dyn->d_tag == DT_STRTAB)
            str = (const char *)(base + dyn->d_un.d_ptr);
    }
    static const char *const names[] = {"__vdso_clock_gettime", "__vdso_gettimeofday", "__vdso_time", "__vdso_getcpu"};
    for (size_t i = 0; i < 4; i++) {
        int found = 0;
        for (const ElfW(Sym) *s = sym; s && (const char *)s < str; s++)
            found += strcmp(str + s->st_name, names[i]) == 0;
        printf("%s: %d\n", names[i], found > 0);
    }
}

static int show_object(struct dl_phdr_info *info, size_t size, void *data)
{
    (void)size;
    int *n = data;
    *n += info->dlpi_phnum > 0;
    return 0;
}

int main(int argc, char **argv)
{
    RES(constructed);
    vectors(argc, argv);
    vdso();
    RES(tls_zero);
    RES(tls_value);
    int objects = 0;
    dl_iterate_phdr(show_object, &objects);
    CHECK(objects >= 1);
    setenv("CONF_VARIABLE", "set", 1);
    puts(getenv("CONF_VARIABLE"));
    CHECK(unsetenv("CONF_VARIABLE") == 0 && !getenv("CONF_VARIABLE"));
    atexit(at_end);
    // Much memory of malloc, of all sizes.
    unsigned long sum = 0;
    for (size_t n = 1; n < (size_t)64 << 20; n = n * 3 + 1) {
        unsigned char *m = malloc(n);
        CHECK(m != NULL);
        memset(m, (int)n & 255, n);
        sum += m[n - 1];
        free(m);
    }
    RES(sum);
    int status = conf_end();
    fflush(stdout);
    return status;
}
