package events

import "context"

// Follower is whoever follows a Feed.
type Follower struct {
	// From is the last event that was seen; with Part -1 none of its row.
	From Position
	// Filter is asked anew for each event that could pass, so that what has been
	// revoked counts at once. An error ends the following.
	Filter func(context.Context) (Filter, error)
	// Emit sends an event; an error ends the following.
	Emit func(context.Context, Event) error
	// Idle is called each time there is nothing more, and now and then while there
	// is: news is closed then. It waits until there may be more or something else
	// is to be done. An error ends the following.
	Idle func(ctx context.Context, news <-chan struct{}) error
}

// Source is the part of a Feed that is followed.
type Source interface {
	News() <-chan struct{}
	Read(ctx context.Context, after int64) ([]Entry, error)
}

// Follow sends what comes until something ends it, and says what.
func (w Follower) Follow(ctx context.Context, feed Source) error {
	// The row of From is read again: it may have had more events.
	after, seen := max(0, w.From.Row-1), w.From
	at := make(chan struct{})
	close(at)
	for {
		news := feed.News()
		list, err := feed.Read(ctx, after)
		if err != nil {
			return err
		}
		for _, entry := range list {
			if err := w.pass(ctx, entry, seen); err != nil {
				return err
			}
			after = entry.Row
		}
		if len(list) > 0 {
			news = at // there may be much that is not for them, and the end comes meanwhile
		}
		if err := w.Idle(ctx, news); err != nil {
			return err
		}
	}
}

func (w Follower) pass(ctx context.Context, entry Entry, seen Position) error {
	for _, e := range entry.Events {
		if !seen.Before(e.ID) {
			continue
		}
		f, err := w.Filter(ctx)
		if err != nil {
			return err
		}
		if !f.Passes(e) {
			continue
		}
		if err := w.Emit(ctx, e); err != nil {
			return err
		}
	}
	return nil
}
