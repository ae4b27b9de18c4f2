-- +goose Up

CREATE VIEW mailwright_views.mailbox_inventory AS
SELECT tenant,
       mailbox_id,
       user_id,
       principal_name,
       name,
       email_address,
       display_name,
       recipient_type,
       status,
       hidden_from_address_lists_enabled,
       create_time,
       modified_time,
       first_scan_time,
       tenant_id,
       tenant_domain,
       container,
       container_id,
       item_count,
       storage_used,
       issue_warning_quota,
       prohibit_send_quota,
       prohibit_send_receive_quota,
       deleted_item_count,
       deleted_item_size,
       first_name,
       last_name,
       alias,
       auto_reply_enabled,
       litigation_hold_enabled,
       email_forwarding_enabled,
       external_email_forwarding_enabled,
       archive_status,
       archive_name,
       last_activity_date,
       forwarding_address_domain,
       external_forwarding_address_domain,
       recipient_limits,
       mailbox_policies,
       primary_contact,
       secondary_contact,
       last_renewal_by,
       last_renewal_time,
       phase_start_time,
       renewal_due_date,
       next_renewal_date,
       renew_profile_applied,
       election_profile_applied,
       metadata,
       is_registered,
       phase,
       phase_assignees,
       renew_profile,
       election_profile,
       claim_status,
       extra,
       sync_id,
       observed_at,
       missing_since,
       change,
       changed_at,
       previous,
       first_observed_at,
       quota_share,
       inactive_since,
       omitted
  FROM mailwright.mailbox_inventory;

COMMENT ON VIEW mailwright_views.mailbox_inventory IS 'The latest observation of each mailbox in AvePoint EnPower. NULL: the vendor left it empty. A missing mailbox keeps its last known facts.';
COMMENT ON COLUMN mailwright_views.mailbox_inventory.tenant IS 'Configured tenant through which it was seen.';
COMMENT ON COLUMN mailwright_views.mailbox_inventory.mailbox_id IS 'Identifier in EnPower, unique within its tenant.';
COMMENT ON COLUMN mailwright_views.mailbox_inventory.user_id IS 'Identifier in Microsoft 365.';
COMMENT ON COLUMN mailwright_views.mailbox_inventory.principal_name IS 'User principal name.';
COMMENT ON COLUMN mailwright_views.mailbox_inventory.name IS 'Name in PowerShell.';
COMMENT ON COLUMN mailwright_views.mailbox_inventory.email_address IS 'E-mail address.';
COMMENT ON COLUMN mailwright_views.mailbox_inventory.display_name IS 'Display name.';
COMMENT ON COLUMN mailwright_views.mailbox_inventory.recipient_type IS 'Display text, such as "User mailbox".';
COMMENT ON COLUMN mailwright_views.mailbox_inventory.status IS 'Open set; "Archived", "Normal" seen.';
COMMENT ON COLUMN mailwright_views.mailbox_inventory.hidden_from_address_lists_enabled IS 'Hidden from address lists.';
COMMENT ON COLUMN mailwright_views.mailbox_inventory.create_time IS 'When it was created.';
COMMENT ON COLUMN mailwright_views.mailbox_inventory.modified_time IS 'When it was last modified.';
COMMENT ON COLUMN mailwright_views.mailbox_inventory.first_scan_time IS 'When EnPower first saw it.';
COMMENT ON COLUMN mailwright_views.mailbox_inventory.tenant_id IS 'Tenant''s identifier.';
COMMENT ON COLUMN mailwright_views.mailbox_inventory.tenant_domain IS 'Tenant''s domain.';
COMMENT ON COLUMN mailwright_views.mailbox_inventory.container IS 'EnPower container.';
COMMENT ON COLUMN mailwright_views.mailbox_inventory.container_id IS 'Its identifier.';
COMMENT ON COLUMN mailwright_views.mailbox_inventory.item_count IS 'Items.';
COMMENT ON COLUMN mailwright_views.mailbox_inventory.storage_used IS 'Storage used, in MB as far as the vendor lets one infer.';
COMMENT ON COLUMN mailwright_views.mailbox_inventory.issue_warning_quota IS 'Warning quota, in MB as far as the vendor lets one infer.';
COMMENT ON COLUMN mailwright_views.mailbox_inventory.prohibit_send_quota IS 'Quota from which sending stops, in MB as far as the vendor lets one infer.';
COMMENT ON COLUMN mailwright_views.mailbox_inventory.prohibit_send_receive_quota IS 'Quota from which sending and receiving stop, in MB as far as the vendor lets one infer.';
COMMENT ON COLUMN mailwright_views.mailbox_inventory.deleted_item_count IS 'Items in Deleted Items.';
COMMENT ON COLUMN mailwright_views.mailbox_inventory.deleted_item_size IS 'Size of Deleted Items, in MB as far as the vendor lets one infer.';
COMMENT ON COLUMN mailwright_views.mailbox_inventory.first_name IS 'First name.';
COMMENT ON COLUMN mailwright_views.mailbox_inventory.last_name IS 'Last name.';
COMMENT ON COLUMN mailwright_views.mailbox_inventory.alias IS 'Alias.';
COMMENT ON COLUMN mailwright_views.mailbox_inventory.auto_reply_enabled IS 'Automatic replies.';
COMMENT ON COLUMN mailwright_views.mailbox_inventory.litigation_hold_enabled IS 'Litigation hold.';
COMMENT ON COLUMN mailwright_views.mailbox_inventory.email_forwarding_enabled IS 'Forwards.';
COMMENT ON COLUMN mailwright_views.mailbox_inventory.external_email_forwarding_enabled IS 'Forwards outside.';
COMMENT ON COLUMN mailwright_views.mailbox_inventory.archive_status IS 'Archive''s status.';
COMMENT ON COLUMN mailwright_views.mailbox_inventory.archive_name IS 'Archive''s name.';
COMMENT ON COLUMN mailwright_views.mailbox_inventory.last_activity_date IS 'Latest activity; NULL: never.';
COMMENT ON COLUMN mailwright_views.mailbox_inventory.forwarding_address_domain IS 'Domain forwarded to.';
COMMENT ON COLUMN mailwright_views.mailbox_inventory.external_forwarding_address_domain IS 'External domain forwarded to.';
COMMENT ON COLUMN mailwright_views.mailbox_inventory.recipient_limits IS 'Most recipients of one message; a number or "Unlimited".';
COMMENT ON COLUMN mailwright_views.mailbox_inventory.mailbox_policies IS 'Policies applied.';
COMMENT ON COLUMN mailwright_views.mailbox_inventory.primary_contact IS 'Primary contact.';
COMMENT ON COLUMN mailwright_views.mailbox_inventory.secondary_contact IS 'Secondary contact.';
COMMENT ON COLUMN mailwright_views.mailbox_inventory.last_renewal_by IS 'Who renewed last.';
COMMENT ON COLUMN mailwright_views.mailbox_inventory.last_renewal_time IS 'Last renewal.';
COMMENT ON COLUMN mailwright_views.mailbox_inventory.phase_start_time IS 'Start of the phase.';
COMMENT ON COLUMN mailwright_views.mailbox_inventory.renewal_due_date IS 'Renewal due.';
COMMENT ON COLUMN mailwright_views.mailbox_inventory.next_renewal_date IS 'Next renewal.';
COMMENT ON COLUMN mailwright_views.mailbox_inventory.renew_profile_applied IS 'A renewal profile applies.';
COMMENT ON COLUMN mailwright_views.mailbox_inventory.election_profile_applied IS 'An election profile applies.';
COMMENT ON COLUMN mailwright_views.mailbox_inventory.metadata IS 'Cloud Governance metadata.';
COMMENT ON COLUMN mailwright_views.mailbox_inventory.is_registered IS 'Imported to Cloud Governance.';
COMMENT ON COLUMN mailwright_views.mailbox_inventory.phase IS 'Open set.';
COMMENT ON COLUMN mailwright_views.mailbox_inventory.phase_assignees IS 'Who is assigned to the phase.';
COMMENT ON COLUMN mailwright_views.mailbox_inventory.renew_profile IS 'Renewal profile.';
COMMENT ON COLUMN mailwright_views.mailbox_inventory.election_profile IS 'Election profile.';
COMMENT ON COLUMN mailwright_views.mailbox_inventory.claim_status IS 'Open set.';
COMMENT ON COLUMN mailwright_views.mailbox_inventory.extra IS 'Members that the vendor added since, as they came.';
COMMENT ON COLUMN mailwright_views.mailbox_inventory.sync_id IS 'Operation whose walk found the mailbox so; later ones found it the same.';
COMMENT ON COLUMN mailwright_views.mailbox_inventory.observed_at IS 'When the facts were read, by the service''s clock. Every complete walk over the mailbox since then found the same, until missing_since.';
COMMENT ON COLUMN mailwright_views.mailbox_inventory.missing_since IS 'When a complete walk did not meet it any more; NULL: it is there. No proof that it is gone: scans lag.';
COMMENT ON COLUMN mailwright_views.mailbox_inventory.change IS 'What the latest observation found: new, changed, returned (it had been missing) or missing.';
COMMENT ON COLUMN mailwright_views.mailbox_inventory.changed_at IS 'When it found that, by the service''s clock.';
COMMENT ON COLUMN mailwright_views.mailbox_inventory.previous IS 'The vendor''s members that the latest observation found changed, as they were before; null for one that was absent. NULL: none, as for a new mailbox.';
COMMENT ON COLUMN mailwright_views.mailbox_inventory.first_observed_at IS 'When the mailbox was first observed, by the service''s clock.';
COMMENT ON COLUMN mailwright_views.mailbox_inventory.quota_share IS 'storage_used divided by prohibit_send_quota.';
COMMENT ON COLUMN mailwright_views.mailbox_inventory.inactive_since IS 'Latest activity; where none is known, when the mailbox was created or, where that is not known either, first observed.';
COMMENT ON COLUMN mailwright_views.mailbox_inventory.omitted IS 'The vendor''s members that were left out, since the mailbox is too large for one message; of previous with "previous." before the name. NULL: none.';

CREATE VIEW mailwright_views.mailboxes_near_quota AS
SELECT tenant,
       mailbox_id,
       display_name,
       email_address,
       recipient_type,
       storage_used,
       issue_warning_quota,
       prohibit_send_quota,
       prohibit_send_receive_quota,
       quota_share,
       observed_at
  FROM mailwright.mailbox_inventory
 WHERE quota_share >= 0.9 AND missing_since IS NULL;

COMMENT ON VIEW mailwright_views.mailboxes_near_quota IS 'Mailboxes that use at least 90 % of the quota from which sending stops; missing ones are left out.';
COMMENT ON COLUMN mailwright_views.mailboxes_near_quota.tenant IS 'Configured tenant through which it was seen.';
COMMENT ON COLUMN mailwright_views.mailboxes_near_quota.mailbox_id IS 'Identifier in EnPower, unique within its tenant.';
COMMENT ON COLUMN mailwright_views.mailboxes_near_quota.display_name IS 'Display name.';
COMMENT ON COLUMN mailwright_views.mailboxes_near_quota.email_address IS 'E-mail address.';
COMMENT ON COLUMN mailwright_views.mailboxes_near_quota.recipient_type IS 'Display text, such as "User mailbox".';
COMMENT ON COLUMN mailwright_views.mailboxes_near_quota.storage_used IS 'Storage used, in MB as far as the vendor lets one infer.';
COMMENT ON COLUMN mailwright_views.mailboxes_near_quota.issue_warning_quota IS 'Warning quota, in MB as far as the vendor lets one infer.';
COMMENT ON COLUMN mailwright_views.mailboxes_near_quota.prohibit_send_quota IS 'Quota from which sending stops, in MB as far as the vendor lets one infer.';
COMMENT ON COLUMN mailwright_views.mailboxes_near_quota.prohibit_send_receive_quota IS 'Quota from which sending and receiving stop, in MB as far as the vendor lets one infer.';
COMMENT ON COLUMN mailwright_views.mailboxes_near_quota.quota_share IS 'storage_used divided by prohibit_send_quota.';
COMMENT ON COLUMN mailwright_views.mailboxes_near_quota.observed_at IS 'When the facts were read, by the service''s clock. Every complete walk over the mailbox since then found the same, until missing_since.';

CREATE VIEW mailwright_views.mailboxes_forwarding_outside AS
SELECT tenant,
       mailbox_id,
       display_name,
       email_address,
       recipient_type,
       external_forwarding_address_domain,
       forwarding_address_domain,
       email_forwarding_enabled,
       hidden_from_address_lists_enabled,
       observed_at
  FROM mailwright.mailbox_inventory
 WHERE external_email_forwarding_enabled AND missing_since IS NULL;

COMMENT ON VIEW mailwright_views.mailboxes_forwarding_outside IS 'Mailboxes whose mail is forwarded outside; missing ones are left out.';
COMMENT ON COLUMN mailwright_views.mailboxes_forwarding_outside.tenant IS 'Configured tenant through which it was seen.';
COMMENT ON COLUMN mailwright_views.mailboxes_forwarding_outside.mailbox_id IS 'Identifier in EnPower, unique within its tenant.';
COMMENT ON COLUMN mailwright_views.mailboxes_forwarding_outside.display_name IS 'Display name.';
COMMENT ON COLUMN mailwright_views.mailboxes_forwarding_outside.email_address IS 'E-mail address.';
COMMENT ON COLUMN mailwright_views.mailboxes_forwarding_outside.recipient_type IS 'Display text, such as "User mailbox".';
COMMENT ON COLUMN mailwright_views.mailboxes_forwarding_outside.external_forwarding_address_domain IS 'External domain forwarded to.';
COMMENT ON COLUMN mailwright_views.mailboxes_forwarding_outside.forwarding_address_domain IS 'Domain forwarded to.';
COMMENT ON COLUMN mailwright_views.mailboxes_forwarding_outside.email_forwarding_enabled IS 'Forwards.';
COMMENT ON COLUMN mailwright_views.mailboxes_forwarding_outside.hidden_from_address_lists_enabled IS 'Hidden from address lists.';
COMMENT ON COLUMN mailwright_views.mailboxes_forwarding_outside.observed_at IS 'When the facts were read, by the service''s clock. Every complete walk over the mailbox since then found the same, until missing_since.';

CREATE VIEW mailwright_views.mailboxes_without_activity AS
SELECT tenant,
       mailbox_id,
       display_name,
       email_address,
       recipient_type,
       inactive_since,
       last_activity_date,
       create_time,
       storage_used,
       litigation_hold_enabled,
       observed_at
  FROM mailwright.mailbox_inventory
 WHERE inactive_since < now() - interval '30 days' AND missing_since IS NULL;

COMMENT ON VIEW mailwright_views.mailboxes_without_activity IS 'Mailboxes without activity for 30 days or more; missing ones are left out.';
COMMENT ON COLUMN mailwright_views.mailboxes_without_activity.tenant IS 'Configured tenant through which it was seen.';
COMMENT ON COLUMN mailwright_views.mailboxes_without_activity.mailbox_id IS 'Identifier in EnPower, unique within its tenant.';
COMMENT ON COLUMN mailwright_views.mailboxes_without_activity.display_name IS 'Display name.';
COMMENT ON COLUMN mailwright_views.mailboxes_without_activity.email_address IS 'E-mail address.';
COMMENT ON COLUMN mailwright_views.mailboxes_without_activity.recipient_type IS 'Display text, such as "User mailbox".';
COMMENT ON COLUMN mailwright_views.mailboxes_without_activity.inactive_since IS 'Latest activity; where none is known, when the mailbox was created or, where that is not known either, first observed.';
COMMENT ON COLUMN mailwright_views.mailboxes_without_activity.last_activity_date IS 'Latest activity; NULL: never.';
COMMENT ON COLUMN mailwright_views.mailboxes_without_activity.create_time IS 'When it was created.';
COMMENT ON COLUMN mailwright_views.mailboxes_without_activity.storage_used IS 'Storage used, in MB as far as the vendor lets one infer.';
COMMENT ON COLUMN mailwright_views.mailboxes_without_activity.litigation_hold_enabled IS 'Litigation hold.';
COMMENT ON COLUMN mailwright_views.mailboxes_without_activity.observed_at IS 'When the facts were read, by the service''s clock. Every complete walk over the mailbox since then found the same, until missing_since.';

CREATE VIEW mailwright_views.mailboxes_on_litigation_hold AS
SELECT tenant,
       mailbox_id,
       display_name,
       email_address,
       recipient_type,
       storage_used,
       deleted_item_count,
       deleted_item_size,
       archive_status,
       archive_name,
       last_activity_date,
       observed_at
  FROM mailwright.mailbox_inventory
 WHERE litigation_hold_enabled AND missing_since IS NULL;

COMMENT ON VIEW mailwright_views.mailboxes_on_litigation_hold IS 'Mailboxes on litigation hold; missing ones are left out.';
COMMENT ON COLUMN mailwright_views.mailboxes_on_litigation_hold.tenant IS 'Configured tenant through which it was seen.';
COMMENT ON COLUMN mailwright_views.mailboxes_on_litigation_hold.mailbox_id IS 'Identifier in EnPower, unique within its tenant.';
COMMENT ON COLUMN mailwright_views.mailboxes_on_litigation_hold.display_name IS 'Display name.';
COMMENT ON COLUMN mailwright_views.mailboxes_on_litigation_hold.email_address IS 'E-mail address.';
COMMENT ON COLUMN mailwright_views.mailboxes_on_litigation_hold.recipient_type IS 'Display text, such as "User mailbox".';
COMMENT ON COLUMN mailwright_views.mailboxes_on_litigation_hold.storage_used IS 'Storage used, in MB as far as the vendor lets one infer.';
COMMENT ON COLUMN mailwright_views.mailboxes_on_litigation_hold.deleted_item_count IS 'Items in Deleted Items.';
COMMENT ON COLUMN mailwright_views.mailboxes_on_litigation_hold.deleted_item_size IS 'Size of Deleted Items, in MB as far as the vendor lets one infer.';
COMMENT ON COLUMN mailwright_views.mailboxes_on_litigation_hold.archive_status IS 'Archive''s status.';
COMMENT ON COLUMN mailwright_views.mailboxes_on_litigation_hold.archive_name IS 'Archive''s name.';
COMMENT ON COLUMN mailwright_views.mailboxes_on_litigation_hold.last_activity_date IS 'Latest activity; NULL: never.';
COMMENT ON COLUMN mailwright_views.mailboxes_on_litigation_hold.observed_at IS 'When the facts were read, by the service''s clock. Every complete walk over the mailbox since then found the same, until missing_since.';

CREATE VIEW mailwright_views.inventory_syncs AS
SELECT operation_id,
       tenant,
       vendor_tenant,
       mailbox_type,
       seen,
       duplicates,
       pages,
       started_at,
       completed_at,
       correlation_id,
       completed_at - started_at AS duration,
       new,
       changed,
       returned,
       unchanged,
       known,
       absent,
       missing,
       suspect,
       unidentified,
       truncated,
       unpublished
  FROM mailwright.inventory_syncs;

COMMENT ON VIEW mailwright_views.inventory_syncs IS 'Completed walks over the inventory.';
COMMENT ON COLUMN mailwright_views.inventory_syncs.operation_id IS 'Operation of the inventory.sync.';
COMMENT ON COLUMN mailwright_views.inventory_syncs.tenant IS 'Configured tenant.';
COMMENT ON COLUMN mailwright_views.inventory_syncs.vendor_tenant IS 'Tenant that the command restricted the walk to; '''': all.';
COMMENT ON COLUMN mailwright_views.inventory_syncs.mailbox_type IS 'all (user and shared), user, shared, resource (rooms and equipment), room or equipment.';
COMMENT ON COLUMN mailwright_views.inventory_syncs.seen IS 'Mailboxes seen, each once: new, changed, returned, unchanged and unpublished ones.';
COMMENT ON COLUMN mailwright_views.inventory_syncs.duplicates IS 'Rows that the vendor repeated across pages.';
COMMENT ON COLUMN mailwright_views.inventory_syncs.pages IS 'Pages read.';
COMMENT ON COLUMN mailwright_views.inventory_syncs.started_at IS 'Start of the attempt that completed, by the service''s clock.';
COMMENT ON COLUMN mailwright_views.inventory_syncs.completed_at IS 'End, by the service''s clock.';
COMMENT ON COLUMN mailwright_views.inventory_syncs.correlation_id IS 'Carried through unchanged from the command, such as a ticket; '''' where absent.';
COMMENT ON COLUMN mailwright_views.inventory_syncs.duration IS 'How long the walk took.';
COMMENT ON COLUMN mailwright_views.inventory_syncs.new IS 'Seen for the first time.';
COMMENT ON COLUMN mailwright_views.inventory_syncs.changed IS 'Seen with other facts than before.';
COMMENT ON COLUMN mailwright_views.inventory_syncs.returned IS 'Seen after they had been reported missing.';
COMMENT ON COLUMN mailwright_views.inventory_syncs.unchanged IS 'Seen as before; nothing was published about them.';
COMMENT ON COLUMN mailwright_views.inventory_syncs.known IS 'Mailboxes within the walk''s restrictions that were known before; those reported missing are left out.';
COMMENT ON COLUMN mailwright_views.inventory_syncs.absent IS 'Known ones that the walk did not meet.';
COMMENT ON COLUMN mailwright_views.inventory_syncs.missing IS 'Absent ones that were reported missing: all, or none where the walk is suspect.';
COMMENT ON COLUMN mailwright_views.inventory_syncs.suspect IS 'So many were absent that the vendor''s list is more likely to be wrong, or rows told no mailbox: none was reported missing.';
COMMENT ON COLUMN mailwright_views.inventory_syncs.unidentified IS 'Rows that tell no mailbox: without an id, or no objects.';
COMMENT ON COLUMN mailwright_views.inventory_syncs.truncated IS 'Seen ones too large for one message, published without some of their facts; operations.warnings names them.';
COMMENT ON COLUMN mailwright_views.inventory_syncs.unpublished IS 'Seen ones that could not be published; operations.warnings names them.';

CREATE VIEW mailwright_views.inventory_changes_by_day AS
SELECT date_trunc('day', completed_at, 'UTC') AS day,
       tenant,
       count(*)                               AS syncs,
       count(*) FILTER (WHERE suspect)        AS suspect_syncs,
       sum(new)::bigint                       AS new,
       sum(changed)::bigint                   AS changed,
       sum(returned)::bigint                  AS returned,
       sum(missing)::bigint                   AS missing
  FROM mailwright.inventory_syncs
 GROUP BY 1, 2;

COMMENT ON VIEW mailwright_views.inventory_changes_by_day IS 'Changes that the inventories of a day found, by tenant. A mailbox counts as often as it changed.';
COMMENT ON COLUMN mailwright_views.inventory_changes_by_day.day IS 'Start of the day on which the walks completed, UTC.';
COMMENT ON COLUMN mailwright_views.inventory_changes_by_day.tenant IS 'Configured tenant.';
COMMENT ON COLUMN mailwright_views.inventory_changes_by_day.syncs IS 'Completed walks.';
COMMENT ON COLUMN mailwright_views.inventory_changes_by_day.suspect_syncs IS 'Of these, suspect ones.';
COMMENT ON COLUMN mailwright_views.inventory_changes_by_day.new IS 'Mailboxes seen for the first time.';
COMMENT ON COLUMN mailwright_views.inventory_changes_by_day.changed IS 'Mailboxes seen with other facts than before.';
COMMENT ON COLUMN mailwright_views.inventory_changes_by_day.returned IS 'Mailboxes seen after they had been reported missing.';
COMMENT ON COLUMN mailwright_views.inventory_changes_by_day.missing IS 'Mailboxes reported missing.';

-- +goose Down
DROP VIEW mailwright_views.inventory_changes_by_day;
DROP VIEW mailwright_views.inventory_syncs;
DROP VIEW mailwright_views.mailboxes_on_litigation_hold;
DROP VIEW mailwright_views.mailboxes_without_activity;
DROP VIEW mailwright_views.mailboxes_forwarding_outside;
DROP VIEW mailwright_views.mailboxes_near_quota;
DROP VIEW mailwright_views.mailbox_inventory;
