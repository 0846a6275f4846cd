package workload

import "context"

// loginCalls are those of a repeat.
const loginCalls = 500

// openLogin has sessions that do nothing, as those of webmails and of checks for new mail.
func openLogin(ctx context.Context, s *suite) ([]step, error) {
	f, err := s.folder(ctx)
	if err != nil {
		return nil, err
	}
	// The warm-up has each user once, so that repeats have those who have logged in before.
	return []step{{calls: s.callsOf(loginCalls), warm: int64(max(s.Users, s.Connections)),
		op: func(ctx context.Context, _ int, call int64) (int64, error) {
			c, err := s.connect(ctx, int(call%int64(s.Users)))
			if err != nil {
				return 0, err
			}
			defer c.close()
			box, err := open(c, "SELECT", f.name)
			if err != nil {
				return 0, err
			}
			if box.exists != len(f.expected) {
				return 0, wrong("SELECT tells of %d messages of %d", box.exists, len(f.expected))
			}
			_, err = c.Must("LOGOUT")
			return 0, err
		}}}, nil
}
