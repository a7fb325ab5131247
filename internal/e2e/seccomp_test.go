package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What systemd makes of SystemCallFilter=, RestrictAddressFamilies=,
// RestrictNamespaces= and MemoryDenyWriteExecute=, for one architecture.

// numbersFile is the C library's list of system calls.
const numbersFile = "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"

// callNumbers reads the numbers of all system calls.
func callNumbers(t *testing.T) map[string]uint32 {
	t.Helper()
	if runtime.GOARCH != "amd64" {
		t.Fatalf("this test knows the system calls of amd64 only, not those of %s", runtime.GOARCH)
	}
	text, err := os.ReadFile(numbersFile)
	if err != nil {
		t.Fatalf("%v; install libc6-dev, which gcc needs as well", err)
	}
	out := map[string]uint32{}
	for line := range bytes.Lines(text) {
		f := strings.Fields(string(line))
		if len(f) != 3 || !strings.HasPrefix(f[1], "__NR_") {
			continue
		}
		n, err := strconv.ParseUint(f[2], 10, 32)
		must(t, err)
		out[strings.TrimPrefix(f[1], "__NR_")] = uint32(n)
	}
	return out
}

// callSet expands a set of systemd's, such as @system-service.
func callSet(t *testing.T, name string) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	if !strings.HasPrefix(name, "@") {
		out[name] = true
		return out
	}
	text, err := exec.Command("systemd-analyze", "syscall-filter", "--no-pager", name).Output()
	if err != nil {
		t.Fatalf("systemd-analyze syscall-filter %s: %v; install systemd, it need not run", name, err)
	}
	for line := range strings.Lines(string(text)) {
		word := strings.TrimSpace(line)
		if word == "" || word == name || strings.HasPrefix(word, "#") {
			continue
		}
		for call := range callSet(t, word) {
			out[call] = true
		}
	}
	return out
}

// filter makes the program that the kernel asks about each system call.
func (u unit) filter(t *testing.T) []unix.SockFilter {
	t.Helper()
	allowed := map[string]bool{}
	for i, line := range u["SystemCallFilter"] {
		names, remove := strings.CutPrefix(line, "~")
		if remove == (i == 0) {
			t.Fatalf("SystemCallFilter=%s: the first line must allow, the others must take away", line)
		}
		for name := range strings.FieldsSeq(names) {
			for call := range callSet(t, name) {
				allowed[call] = !remove
			}
		}
	}
	if e := u.one("SystemCallErrorNumber"); e != "EPERM" || u.one("SystemCallArchitectures") != "native" {
		t.Fatalf("SystemCallErrorNumber=%s, SystemCallArchitectures=%s", e, u.one("SystemCallArchitectures"))
	}
	numbers := callNumbers(t)
	rules := u.rules(t)
	p := program{}
	p.load(4) // architecture
	p.unless(unix.AUDIT_ARCH_X86_64, deny(unix.EPERM))
	p.load(0) // number
	known := callSet(t, "@known")
	n := 0
	for call, number := range numbers {
		switch {
		case allowed[call]:
			n++
			p.when(number, append(rules[call], allow))
		case known[call]:
			p.when(number, program{deny(unix.EPERM)})
		}
	}
	if n < 100 {
		t.Fatalf("only %d system calls are allowed; the first line of SystemCallFilter= is gone", n)
	}
	// Those that are newer than systemd, which programs try first.
	return append(p, deny(unix.ENOSYS))
}

// rules are conditions on arguments, by system call.
func (u unit) rules(t *testing.T) map[string]program {
	t.Helper()
	out := map[string]program{}
	if list := u.one("RestrictAddressFamilies"); list != "" {
		families := map[string]uint32{"AF_UNIX": unix.AF_UNIX, "AF_INET": unix.AF_INET, "AF_INET6": unix.AF_INET6}
		var p program
		p.load(argument(0))
		for name := range strings.FieldsSeq(list) {
			family, ok := families[name]
			if !ok {
				t.Fatalf("RestrictAddressFamilies=%s: what is %s?", list, name)
			}
			p.when(family, program{allow})
		}
		out["socket"] = append(p, deny(unix.EAFNOSUPPORT))
	}
	if u.yes("RestrictNamespaces") {
		const namespaces = unix.CLONE_NEWNS | unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET |
			unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP
		var p program
		p.load(argument(0))
		p.ifAny(namespaces, deny(unix.EPERM))
		out["clone"], out["unshare"] = p, p
		out["setns"] = program{deny(unix.EPERM)}
		out["clone3"] = program{deny(unix.ENOSYS)} // its flags are out of sight
	}
	if u.yes("MemoryDenyWriteExecute") {
		var mmap, protect program
		mmap.load(argument(2))
		mmap = append(mmap, unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: unix.PROT_WRITE | unix.PROT_EXEC})
		mmap.when(unix.PROT_WRITE|unix.PROT_EXEC, program{deny(unix.EPERM)})
		protect.load(argument(2))
		protect.ifAny(unix.PROT_EXEC, deny(unix.EPERM))
		out["mmap"], out["mprotect"], out["pkey_mprotect"] = mmap, protect, protect
	}
	return out
}

// program is a part of a filter; each ends in the word about its call.
type program []unix.SockFilter

var allow = unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW}

func deny(e unix.Errno) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(e)}
}

// argument is where the lower half of an argument lies in what is asked about.
func argument(n uint32) uint32 { return 16 + 8*n }

func (p *program) load(offset uint32) {
	*p = append(*p, unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset})
}

func (p *program) when(value uint32, then program) {
	*p = append(*p, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: uint8(len(then)), K: value})
	*p = append(*p, then...)
}

func (p *program) unless(value uint32, then unix.SockFilter) {
	*p = append(*p, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: 1, K: value}, then)
}

func (p *program) ifAny(bits uint32, then unix.SockFilter) {
	*p = append(*p, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, Jf: 1, K: bits}, then)
}

// install gives the filter to this thread and to what it becomes.
func install(filter []unix.SockFilter) error {
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	return unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&prog)), 0, 0)
}
