package exec

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"syscall"
	"time"
)

// homes are the tenants' folders that were there in our life. One that has
// disappeared is not made anew at once: it may have been renamed for a moment,
// and its new name could not be given back, or its disk may be gone, and what
// is recorded below the empty mount point is hidden when that is back.
type homes struct {
	clock func() time.Time

	mu   sync.Mutex
	list map[string]home // by tenant
}

// home is a folder: on which disk its root was, and since when it is away.
type home struct {
	dev  uint64
	away time.Time
}

func newHomes(clock func() time.Time) *homes {
	return &homes{clock: clock, list: map[string]home{}}
}

// mayMake returns an error if the folder of a tenant's recordings is not there
// and is not to be made. A nil homes remembers nothing.
func (h *homes) mayMake(root *os.Root, tenant string) error {
	if h == nil {
		return nil
	}
	_, err := root.Stat(tenant + "/monitor")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil // what it is shows when it is used
	}
	dev, devErr := device(root)
	if devErr != nil {
		return devErr
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	known, ok := h.list[tenant]
	now := h.clock()
	switch {
	case err == nil:
		h.list[tenant] = home{dev: dev}
		return nil
	case !ok:
		return nil
	case known.away.IsZero():
		known.away = now
		h.list[tenant] = known
	}
	if known.dev == dev && now.Sub(known.away) >= awayTime {
		delete(h.list, tenant) // it has been removed for good
		return nil
	}
	return fmt.Errorf("the folder %s/monitor was there before and is not made anew yet: put it back, or mount its disk: %w", tenant, fs.ErrNotExist)
}

func device(root *os.Root) (uint64, error) {
	info, err := root.Stat(".")
	if err != nil {
		return 0, fmt.Errorf("stat root: %w", err)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, errors.New("stat root: no device")
	}
	return st.Dev, nil
}
