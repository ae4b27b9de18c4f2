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
       last_seen_at,
       missing_since
  FROM mailwright.mailbox_inventory;

COMMENT ON VIEW mailwright_views.mailbox_inventory IS 'The latest observation of each mailbox in AvePoint EnPower. NULL: the vendor left it empty. Of a missing mailbox only its identity is known.';
COMMENT ON COLUMN mailwright_views.mailbox_inventory.tenant IS 'Configured tenant through which it was seen.';
COMMENT ON COLUMN mailwright_views.mailbox_inventory.mailbox_id IS 'Unique identifier in EnPower.';
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
COMMENT ON COLUMN mailwright_views.mailbox_inventory.sync_id IS 'Operation whose walk says so.';
COMMENT ON COLUMN mailwright_views.mailbox_inventory.last_seen_at IS 'When it was last seen, by the service''s clock.';
COMMENT ON COLUMN mailwright_views.mailbox_inventory.missing_since IS 'When a complete walk did not meet it any more; NULL: it is there. No proof that it is gone: scans lag.';

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
       completed_at - started_at AS duration
  FROM mailwright.inventory_syncs;

COMMENT ON VIEW mailwright_views.inventory_syncs IS 'Completed walks over the inventory.';
COMMENT ON COLUMN mailwright_views.inventory_syncs.operation_id IS 'Operation of the inventory.sync.';
COMMENT ON COLUMN mailwright_views.inventory_syncs.tenant IS 'Configured tenant.';
COMMENT ON COLUMN mailwright_views.inventory_syncs.vendor_tenant IS 'Tenant that the command restricted the walk to; '''': all.';
COMMENT ON COLUMN mailwright_views.inventory_syncs.mailbox_type IS 'all, user or shared.';
COMMENT ON COLUMN mailwright_views.inventory_syncs.seen IS 'Mailboxes seen.';
COMMENT ON COLUMN mailwright_views.inventory_syncs.duplicates IS 'Rows that the vendor repeated across pages.';
COMMENT ON COLUMN mailwright_views.inventory_syncs.pages IS 'Pages read.';
COMMENT ON COLUMN mailwright_views.inventory_syncs.started_at IS 'Start, by the service''s clock.';
COMMENT ON COLUMN mailwright_views.inventory_syncs.completed_at IS 'End, by the service''s clock.';
COMMENT ON COLUMN mailwright_views.inventory_syncs.correlation_id IS 'Carried through unchanged from the command, such as a ticket; '''' where absent.';
COMMENT ON COLUMN mailwright_views.inventory_syncs.duration IS 'How long the walk took.';

-- +goose Down
DROP VIEW mailwright_views.inventory_syncs;
DROP VIEW mailwright_views.mailbox_inventory;
