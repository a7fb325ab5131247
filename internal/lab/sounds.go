package lab

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Announcement is the sound file of AnnouncementHz, as Playback wants it.
func (p *PBX) Announcement() string { return filepath.Join(p.Dir, "sounds", "announcement") }

// writeSounds creates what the PBX plays.
func (p *PBX) writeSounds() error {
	if err := writeTone(p.Announcement()+".sln", AnnouncementHz, 3); err != nil {
		return err
	}
	if err := writeTone(filepath.Join(p.Dir, "moh", "music.sln"), MusicHz, 10); err != nil {
		return err
	}
	if len(p.cfg.Sounds) == 0 {
		return nil
	}
	return p.replaceSounds()
}

// writeTone writes raw 16 bit samples: like most sounds of a real PBX they have
// to be transcoded for the phones.
func writeTone(path string, hz, seconds float64) error {
	var tone oscillator
	var data []byte
	for range int(seconds * phoneRate) {
		data = binary.LittleEndian.AppendUint16(data, uint16(tone.next(hz)))
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		return fmt.Errorf("write sound: %w", err)
	}
	return nil
}

// dataDir is Asterisk's data folder: the installed one, or a copy in which
// some sounds are tones.
func (p *PBX) dataDir() string {
	if len(p.cfg.Sounds) == 0 {
		return p.install.DataDir
	}
	return filepath.Join(p.Dir, "data")
}

// replaceSounds makes the data folder of links to the installed one, with
// tones for the sounds that the configuration names.
func (p *PBX) replaceSounds() error {
	data := p.dataDir()
	english := filepath.Join(data, "sounds", "en")
	if err := os.MkdirAll(english, 0o755); err != nil {
		return fmt.Errorf("create folder for sounds: %w", err)
	}
	keep := func(name string) bool { return name != "sounds" }
	if err := linkAll(p.install.DataDir, data, keep); err != nil {
		return err
	}
	keep = func(name string) bool {
		base, _, _ := strings.Cut(name, ".")
		_, replaced := p.cfg.Sounds[base]
		return !replaced
	}
	if err := linkAll(filepath.Join(p.install.DataDir, "sounds", "en"), english, keep); err != nil {
		return err
	}
	for name, hz := range p.cfg.Sounds {
		// A tone must not hide that Asterisk has no such sound.
		if found, _ := filepath.Glob(filepath.Join(p.install.DataDir, "sounds", "en", name+".*")); len(found) == 0 {
			return fmt.Errorf("replace sound %q: it is not installed", name)
		}
		if err := writeTone(filepath.Join(english, name+".sln"), hz, cmp.Or(p.cfg.SoundSeconds, 1)); err != nil {
			return err
		}
	}
	return nil
}

// linkAll links what is in one folder into another.
func linkAll(from, to string, keep func(name string) bool) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return fmt.Errorf("read installed data: %w", err)
	}
	for _, e := range entries {
		if !keep(e.Name()) {
			continue
		}
		if err := os.Symlink(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("link installed data: %w", err)
		}
	}
	return nil
}
