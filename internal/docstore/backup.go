package docstore

import (
	"context"
	"errors"
	"net"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/docstore/mongoerr"
)

// BackupCommand is the command by which another process asks for a backup: {gadwallBackup: 1,
// directory: <absolute path>} on the database admin. MongoDB has nothing like it. It is refused on
// any connection but the unix socket's, whose file only the owner of the database may open.
const BackupCommand = "gadwallBackup"

// backup is the command gadwallBackup.
func (s *Server) backup(ctx context.Context, r *request) (bson.Raw, error) {
	var dir string
	err := r.args(func(key string, v bson.RawValue) (bool, error) {
		var err error
		switch key {
		case BackupCommand:
		case "directory":
			dir, err = r.stringArg(key, v)
		default:
			return false, nil
		}
		return true, err
	})
	if err != nil {
		return nil, err
	}
	if _, unix := r.conn.nc.(*net.UnixConn); !unix || r.db != "admin" {
		return nil, mongoerr.New(mongoerr.Unauthorized,
			"%s may only be run against the admin database, through the unix socket.", BackupCommand)
	}
	if dir == "" {
		return nil, errMissingField(BackupCommand, "directory")
	}
	err = s.Backup(ctx, dir)
	var target *TargetError
	if errors.As(err, &target) {
		return nil, mongoerr.New(mongoerr.BadValue, "%v", target)
	}
	return okReply(nil), err
}
