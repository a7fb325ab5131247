package exec

import (
	"fmt"
	"os"
	"path"
	"syscall"

	"callrecordd/internal/recorder"
)

// A file that was renamed while it was being written goes on under its new name.
// It is known by its number on the disk, and put back when it is closed.

// maxNames bounds how many names are looked through.
const maxNames = 200_000

// putBack looks for the file in the folder of its recording, and gives it its
// name again, unless another file has that. It returns the name that it had.
func (f files) putBack(row recorder.Recording, file id) (name string, err error) {
	root, err := f.open(row)
	if err != nil {
		return "", err
	}
	defer closeRoot(root)
	folder := row.TenantUUID + "/monitor"
	if name, err = find(root, folder, file); err != nil || name == "" {
		return "", err
	}
	// A link takes no name that is taken, a rename would.
	if err := root.Link(path.Join(folder, name), row.Path()); err != nil {
		return "", fmt.Errorf("put back the recording: %w", err)
	}
	if err := root.Remove(path.Join(folder, name)); err != nil {
		return "", fmt.Errorf("remove the other name of the recording: %w", err)
	}
	return name, nil
}

// find returns the name of a file in a folder, empty if it is not there.
func find(root *os.Root, folder string, file id) (string, error) {
	dir, err := root.Open(folder)
	if err != nil {
		return "", fmt.Errorf("open directory: %w", err)
	}
	defer dir.Close()
	const some = 500
	for range maxNames / some {
		list, err := dir.ReadDir(some)
		for _, e := range list {
			info, err := e.Info()
			if err != nil {
				continue // gone meanwhile
			}
			if st, ok := info.Sys().(*syscall.Stat_t); ok && info.Mode().IsRegular() && (id{st.Dev, st.Ino}) == file {
				return e.Name(), nil
			}
		}
		if err != nil || len(list) == 0 {
			return "", nil // the end
		}
	}
	return "", nil
}

// lookAround is for a file that is not in its place when it is closed.
func (w *worker) lookAround(row recorder.Recording, out *recorder.Finalised) {
	file, known := w.e.sweeper.fileOf(w.uuid)
	if !known {
		return
	}
	name, err := w.e.files.putBack(row, file)
	if err != nil {
		w.e.cfg.Log.Warn("the file of a recording could not be looked for under another name", "recording", w.uuid, "err", err)
		return
	}
	if out.Found = name != ""; out.Found {
		out.Detail = "the file had been renamed to " + name + " while it was written, and was put back"
	}
}
