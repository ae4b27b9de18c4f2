package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
)

// Paths and credentials are those of the sandbox.
const (
	tokenPath    = "/enpower-identity/connect/token"
	listPath     = "/enpower/smp/exchange/mailboxes?top=1000"
	clientID     = "e0e0e0e0-0001-4000-8000-000000000001"
	clientSecret = "enpower-sandbox-secret"
	listScope    = "enpower.data.read.all"
)

// takeInventory walks all pages once and writes a row for each mailbox. While pages are written,
// the next one is read.
func takeInventory(ctx context.Context, sandbox, databaseURL string) error {
	token, err := fetchToken(ctx, sandbox)
	if err != nil {
		return err
	}
	db, err := pgx.Connect(ctx, databaseURL)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close(context.WithoutCancel(ctx)) }()
	if _, err := db.Exec(ctx, "CREATE TEMP TABLE staging (LIKE mailwright.mailbox_inventory INCLUDING DEFAULTS) ON COMMIT DELETE ROWS"); err != nil {
		return err
	}
	pages := make(chan []listedMailbox)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(pages)
		return walkPages(ctx, sandbox+listPath, token, pages)
	})
	group.Go(func() error { return writePages(ctx, db, pages) })
	return group.Wait()
}

func fetchToken(ctx context.Context, sandbox string) (string, error) {
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {clientID}, "client_secret": {clientSecret}, "scope": {listScope}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, sandbox+tokenPath, strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	var granted struct {
		AccessToken string `json:"access_token"`
	}
	err = answer(req, &granted)
	return granted.AccessToken, err
}

// walkPages reads one page after another.
func walkPages(ctx context.Context, next, token string, pages chan<- []listedMailbox) error {
	for next != "" {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, next, nil)
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+token)
		var page struct {
			Mailboxes []listedMailbox
			NextLink  string
		}
		if err := answer(req, &page); err != nil {
			return err
		}
		select {
		case pages <- page.Mailboxes:
		case <-ctx.Done():
			return ctx.Err()
		}
		next = page.NextLink
	}
	return nil
}

// answer decodes the answer to a request.
func answer(req *http.Request, into any) error {
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", req.URL.Path, res.Status)
	}
	return json.NewDecoder(res.Body).Decode(into)
}

// writePages commits the rows of several pages at a time.
func writePages(ctx context.Context, db *pgx.Conn, pages <-chan []listedMailbox) error {
	began := time.Now().UTC()
	var rows [][]any
	for page := range pages {
		for _, m := range page {
			rows = append(rows, m.row(began))
		}
		if len(rows) >= maxBatch {
			if err := mergeRows(ctx, db, rows); err != nil {
				return err
			}
			rows = rows[:0]
		}
	}
	return mergeRows(ctx, db, rows)
}

func mergeRows(ctx context.Context, db *pgx.Conn, rows [][]any) error {
	return pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error {
		if _, err := tx.CopyFrom(ctx, pgx.Identifier{"staging"}, inventoryColumns, pgx.CopyFromRows(rows)); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, mergeInto("mailwright.mailbox_inventory", "tenant, mailbox_key", inventoryColumns))
		return err
	})
}

// listedMailbox is a mailbox as EnPower lists it.
type listedMailbox struct {
	ID, UserID, PrincipalName, Name, EmailAddress, DisplayName, RecipientType, Status                        *string
	HiddenFromAddressListsEnabled                                                                            *bool
	CreateTime, ModifiedTime, FirstScanTime, LastActivityDate, LastRenewalTime                               *string
	TenantID, TenantDomain, Container, ContainerID                                                           *string
	ItemCount, StorageUsed, IssueWarningQuota, ProhibitSendQuota, ProhibitSendReceiveQuota                   *int64
	DeletedItemCount, DeletedItemSize                                                                        *int64
	FirstName, LastName, Alias                                                                               *string
	AutoReplyEnabled, LitigationHoldEnabled, EmailForwardingEnabled, ExternalEmailForwardingEnabled          *bool
	ArchiveStatus, ArchiveName, ForwardingAddressDomain, ExternalForwardingAddressDomain, Phase, ClaimStatus *string
	RecipientLimits                                                                                          any
	MailboxPolicies, PrimaryContact, SecondaryContact, LastRenewalBy, Metadata                               json.RawMessage
	PhaseAssignees, RenewProfile, ElectionProfile                                                            json.RawMessage
	RenewProfileApplied, ElectionProfileApplied, IsRegistered                                                *bool
}

// inventoryColumns are the columns that a listed mailbox fills, in the order of row.
var inventoryColumns = []string{
	"tenant", "mailbox_key", "mailbox_id", "user_id", "principal_name", "name", "email_address", "display_name", "recipient_type", "status",
	"hidden_from_address_lists_enabled", "create_time", "modified_time", "first_scan_time", "last_activity_date", "last_renewal_time",
	"tenant_id", "tenant_domain", "container", "container_id", "item_count", "storage_used", "issue_warning_quota", "prohibit_send_quota",
	"prohibit_send_receive_quota", "deleted_item_count", "deleted_item_size", "first_name", "last_name", "alias", "auto_reply_enabled",
	"litigation_hold_enabled", "email_forwarding_enabled", "external_email_forwarding_enabled", "archive_status", "archive_name",
	"forwarding_address_domain", "external_forwarding_address_domain", "phase", "claim_status", "recipient_limits", "mailbox_policies",
	"primary_contact", "secondary_contact", "last_renewal_by", "metadata", "phase_assignees", "renew_profile", "election_profile",
	"renew_profile_applied", "election_profile_applied", "is_registered", "observed_at", "changed_at", "first_observed_at", "change", "last_sequence",
}

func (m *listedMailbox) row(at time.Time) []any {
	return []any{
		"contoso", m.ID, m.ID, m.UserID, m.PrincipalName, m.Name, m.EmailAddress, m.DisplayName, m.RecipientType, m.Status,
		m.HiddenFromAddressListsEnabled, timeOf(m.CreateTime), timeOf(m.ModifiedTime), timeOf(m.FirstScanTime), timeOf(m.LastActivityDate), timeOf(m.LastRenewalTime),
		m.TenantID, m.TenantDomain, m.Container, m.ContainerID, m.ItemCount, m.StorageUsed, m.IssueWarningQuota, m.ProhibitSendQuota,
		m.ProhibitSendReceiveQuota, m.DeletedItemCount, m.DeletedItemSize, m.FirstName, m.LastName, m.Alias, m.AutoReplyEnabled,
		m.LitigationHoldEnabled, m.EmailForwardingEnabled, m.ExternalEmailForwardingEnabled, m.ArchiveStatus, m.ArchiveName,
		m.ForwardingAddressDomain, m.ExternalForwardingAddressDomain, m.Phase, m.ClaimStatus, fmt.Sprint(m.RecipientLimits), m.MailboxPolicies,
		m.PrimaryContact, m.SecondaryContact, m.LastRenewalBy, m.Metadata, m.PhaseAssignees, m.RenewProfile, m.ElectionProfile,
		m.RenewProfileApplied, m.ElectionProfileApplied, m.IsRegistered, at, at, at, "new", int64(1),
	}
}

// timeOf reads a time of EnPower's; NULL for none, also where its year is 1.
func timeOf(text *string) *time.Time {
	if text == nil {
		return nil
	}
	t, err := time.Parse(time.DateTime, *text)
	if err != nil || t.Year() == 1 {
		return nil
	}
	return &t
}
