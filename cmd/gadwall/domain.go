package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"text/tabwriter"

	"gadwall/internal/config"
	"gadwall/internal/mailstore"
	"gadwall/quota"
)

type domainCmd struct {
	List    domainListCmd    `cmd:"" help:"List domains that have users or settings."`
	Set     domainSetCmd     `cmd:"" help:"Set the default quota of a domain, or who gets the mail for addresses that nobody has."`
	Alias   domainAliasCmd   `cmd:"" help:"Give the mail for a domain to the users of another one."`
	Unalias domainUnaliasCmd `cmd:"" help:"Undo alias."`
}

type domainListCmd struct {
	storageSettings
	JSON bool `name:"json" help:"Print a JSON object per line."`
}

// listedDomain is a line of domain list --json.
type listedDomain struct {
	Domain    string `json:"domain"`
	Users     int    `json:"users"`
	MoreUsers bool   `json:"moreUsers,omitempty"`
	Storage   int64  `json:"storage"`  // -1 is no limit, 0 that of the configuration
	Messages  int64  `json:"messages"` // likewise
	CatchAll  string `json:"catchAll,omitempty"`
	AliasOf   string `json:"aliasOf,omitempty"`
}

func (c *domainListCmd) Run(std streams) error {
	return c.withStore(std, func(ctx context.Context, s *mailstore.Store) error {
		w := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
		if !c.JSON {
			fmt.Fprintln(w, "DOMAIN\tUSERS\tSTORAGE\tMESSAGES\tCATCH-ALL\tALIAS OF")
		}
		for after, more := "", true; more; {
			var list []mailstore.Domain
			var err error
			if list, more, err = s.Domains(ctx, after, mailstore.MaxDomainPage); err != nil {
				return err
			}
			for _, d := range list {
				after = d.Name
				if err := c.print(std, w, d); err != nil {
					return err
				}
			}
		}
		return w.Flush()
	})
}

func (c *domainListCmd) print(std streams, w *tabwriter.Writer, d mailstore.Domain) error {
	if c.JSON {
		return json.NewEncoder(std.out).Encode(listedDomain{d.Name, d.Users, d.MoreUsers, d.Limits.Bytes,
			d.Limits.Messages, d.CatchAll, d.AliasOf})
	}
	users := strconv.Itoa(d.Users)
	if d.MoreUsers {
		users = "over " + users
	}
	_, err := fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", d.Name, users, limitText(d.Limits.Bytes),
		limitText(d.Limits.Messages), orDash(d.CatchAll), orDash(d.AliasOf))
	return err
}

func limitText(n int64) string {
	switch n {
	case quota.Default:
		return "default"
	case quota.Unlimited:
		return "unlimited"
	}
	return strconv.FormatInt(n, 10)
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// oneDomain is what commands about one domain have in common.
type oneDomain struct {
	storageSettings
	Domain string `arg:"" help:"The domain."`
}

func (c *oneDomain) change(std streams, change mailstore.DomainChange, done string) error {
	return c.withStore(std, func(ctx context.Context, s *mailstore.Store) error {
		if err := s.ChangeDomain(ctx, c.Domain, change); err != nil {
			return err
		}
		fmt.Fprintln(std.out, done)
		return nil
	})
}

type domainSetCmd struct {
	oneDomain
	Quota         *config.StorageLimit `placeholder:"SIZE" help:"Most that each user of the domain without an own limit may store, e.g. 10GB, or unlimited, or default."`
	QuotaMessages *config.MessageLimit `placeholder:"N" help:"Most messages that such a user may have, or unlimited, or default."`
	CatchAll      *string              `placeholder:"ADDRESS" help:"The user who gets the mail for addresses of the domain that nobody has; empty for nobody."`
}

func (c *domainSetCmd) Run(std streams) error {
	change := mailstore.DomainChange{
		CatchAll: c.CatchAll, Bytes: (*int64)(c.Quota), Messages: (*int64)(c.QuotaMessages)}
	if change == (mailstore.DomainChange{}) {
		return usageError{fmt.Errorf("nothing to set: see gadwall domain set --help")}
	}
	return c.change(std, change, "changed "+c.Domain)
}

type domainAliasCmd struct {
	oneDomain
	Of string `arg:"" help:"The domain whose users get the mail."`
}

func (c *domainAliasCmd) Run(std streams) error {
	return c.change(std, mailstore.DomainChange{AliasOf: &c.Of}, c.Domain+" is an alias of "+c.Of)
}

type domainUnaliasCmd struct {
	oneDomain
}

func (c *domainUnaliasCmd) Run(std streams) error {
	return c.change(std, mailstore.DomainChange{AliasOf: new(string)}, c.Domain+" is no alias")
}
