package sandbox_test

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/agent-launcher/agent-launcher/internal/testbin"
)

// TestMain also makes the test binary what its tests start: argv[1] says what,
// because the environment of an agent is exactly what a test gave it.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case roleAgent:
			os.Exit(beAgent())
		case roleStarter:
			os.Exit(beStarter())
		case roleAttacker:
			os.Exit(beAttacker(os.Args[2]))
		case roleUser:
			os.Exit(beUser(os.Args[2:]))
		}
	}
	code := m.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	testbin.Cleanup()
	os.Exit(code)
}

// ordinaryUID is nobody's: as root the tests use it, without an entry in
// passwd, where an ordinary user is needed.
const ordinaryUID = 54321

// skip skips a test for want of a kernel feature or a privilege. Where the
// sandbox is required, root cannot want any.
func skip(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("REQUIRE_SANDBOX") == "1" && os.Geteuid() == 0 {
		t.Fatalf("REQUIRE_SANDBOX=1, but %s", why)
	}
	t.Skip(why)
}

func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		skip(t, "needs root, to switch to another user")
	}
}
