package quota

import (
	"context"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/mailkey"
)

// Correct sets the usage to actual if the state is still seen. Otherwise it changes nothing and
// returns false.
func (k *Keeper) Correct(ctx context.Context, user mailkey.UserID, seen State, actual Usage) (bool, error) {
	recorded := k.policy.Account(seen).Usage
	filter := append(k.filter(user),
		bson.E{Key: fieldLimitBytes, Value: seen.LimitBytes},
		bson.E{Key: fieldLimitMessages, Value: seen.LimitMessages},
		bson.E{Key: fieldFreeBytes, Value: seen.FreeBytes}, bson.E{Key: fieldFreeMessages, Value: seen.FreeMessages})
	res, err := k.users.UpdateOne(ctx, filter, incFree(recorded.Sub(actual)))
	if err != nil {
		return false, fmt.Errorf("correct quota: %w", err)
	}
	return res.MatchedCount == 1, nil
}
