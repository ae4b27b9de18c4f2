-- +goose Up

-- The latest observation of each mailbox in AvePoint EnPower, every field typed. A row reflects one
-- message alone, since MAILBOXES keeps only the latest of each mailbox: that message also says what
-- differed in the one before, and of a mailbox that went missing its last known facts. NULL: the
-- vendor left it empty.
--
-- mailbox_key is what the message's subject calls the mailbox: EnPower's id, which tenants give
-- their mailboxes, after the id of the tenant.
--
-- What dashboards select by is worked out once a row, at the end: an index on a column can answer
-- alone, one on an expression cannot.
CREATE TABLE mailwright.mailbox_inventory (
    tenant                              text        NOT NULL DEFAULT '',
    mailbox_key                         text        NOT NULL,
    mailbox_id                          text        NOT NULL,
    user_id                             text,
    principal_name                      text,
    name                                text,
    email_address                       text,
    display_name                        text,
    recipient_type                      text,
    status                              text,
    hidden_from_address_lists_enabled   boolean,
    create_time                         timestamptz,
    modified_time                       timestamptz,
    first_scan_time                     timestamptz,
    tenant_id                           text,
    tenant_domain                       text,
    container                           text,
    container_id                        text,
    item_count                          bigint,
    storage_used                        bigint,
    issue_warning_quota                 bigint,
    prohibit_send_quota                 bigint,
    prohibit_send_receive_quota         bigint,
    deleted_item_count                  bigint,
    deleted_item_size                   bigint,
    first_name                          text,
    last_name                           text,
    alias                               text,
    auto_reply_enabled                  boolean,
    litigation_hold_enabled             boolean,
    email_forwarding_enabled            boolean,
    external_email_forwarding_enabled   boolean,
    archive_status                      text,
    archive_name                        text,
    last_activity_date                  timestamptz,
    forwarding_address_domain           text,
    external_forwarding_address_domain  text,
    recipient_limits                    text,
    mailbox_policies                    jsonb,
    primary_contact                     jsonb,
    secondary_contact                   jsonb,
    last_renewal_by                     jsonb,
    last_renewal_time                   timestamptz,
    phase_start_time                    timestamptz,
    renewal_due_date                    timestamptz,
    next_renewal_date                   timestamptz,
    renew_profile_applied               boolean,
    election_profile_applied            boolean,
    metadata                            jsonb,
    is_registered                       boolean,
    phase                               text,
    phase_assignees                     jsonb,
    renew_profile                       jsonb,
    election_profile                    jsonb,
    claim_status                        text,
    extra                               jsonb,
    sync_id                             text        NOT NULL DEFAULT '',
    observed_at                         timestamptz NOT NULL,
    missing_since                       timestamptz,
    last_sequence                       bigint      NOT NULL,
    change                              text        NOT NULL DEFAULT '',
    changed_at                          timestamptz NOT NULL,
    previous                            jsonb,
    first_observed_at                   timestamptz NOT NULL,
    omitted                             text[],
    quota_share                         double precision GENERATED ALWAYS AS (storage_used::double precision / nullif(prohibit_send_quota, 0)) STORED,
    inactive_since                      timestamptz GENERATED ALWAYS AS (coalesce(last_activity_date, create_time, first_observed_at)) STORED,
    PRIMARY KEY (tenant, mailbox_key)
);

CREATE INDEX mailbox_inventory_name ON mailwright.mailbox_inventory (lower(display_name));
CREATE INDEX mailbox_inventory_email ON mailwright.mailbox_inventory (lower(email_address));
CREATE INDEX mailbox_inventory_id ON mailwright.mailbox_inventory (mailbox_id);
CREATE INDEX mailbox_inventory_principal ON mailwright.mailbox_inventory (lower(principal_name));
CREATE INDEX mailbox_inventory_alias ON mailwright.mailbox_inventory (lower(alias));
CREATE INDEX mailbox_inventory_missing ON mailwright.mailbox_inventory (missing_since)
    WHERE missing_since IS NOT NULL;
CREATE INDEX mailbox_inventory_changed ON mailwright.mailbox_inventory (changed_at);
CREATE INDEX mailbox_inventory_near_quota ON mailwright.mailbox_inventory (quota_share DESC) INCLUDE (tenant)
    WHERE quota_share >= 0.9 AND missing_since IS NULL;
CREATE INDEX mailbox_inventory_forwarding ON mailwright.mailbox_inventory (external_forwarding_address_domain) INCLUDE (tenant)
    WHERE external_email_forwarding_enabled AND missing_since IS NULL;
CREATE INDEX mailbox_inventory_inactive ON mailwright.mailbox_inventory (inactive_since) INCLUDE (tenant)
    WHERE missing_since IS NULL;
CREATE INDEX mailbox_inventory_hold ON mailwright.mailbox_inventory (tenant, mailbox_id)
    WHERE litigation_hold_enabled AND missing_since IS NULL;

-- Completed walks over the inventory, one row an inventory.sync.
CREATE TABLE mailwright.inventory_syncs (
    operation_id   text        PRIMARY KEY,
    tenant         text        NOT NULL DEFAULT '',
    vendor_tenant  text        NOT NULL DEFAULT '',
    mailbox_type   text        NOT NULL DEFAULT '',
    seen           bigint      NOT NULL DEFAULT 0,
    duplicates     bigint      NOT NULL DEFAULT 0,
    pages          bigint      NOT NULL DEFAULT 0,
    started_at     timestamptz NOT NULL,
    completed_at   timestamptz NOT NULL,
    correlation_id text        NOT NULL DEFAULT '',
    last_sequence  bigint      NOT NULL,
    new            bigint      NOT NULL DEFAULT 0,
    changed        bigint      NOT NULL DEFAULT 0,
    returned       bigint      NOT NULL DEFAULT 0,
    unchanged      bigint      NOT NULL DEFAULT 0,
    known          bigint      NOT NULL DEFAULT 0,
    absent         bigint      NOT NULL DEFAULT 0,
    missing        bigint      NOT NULL DEFAULT 0,
    suspect        boolean     NOT NULL DEFAULT false,
    unidentified   bigint      NOT NULL DEFAULT 0,
    truncated      bigint      NOT NULL DEFAULT 0,
    unpublished    bigint      NOT NULL DEFAULT 0
);

CREATE INDEX inventory_syncs_completed ON mailwright.inventory_syncs (completed_at DESC);

-- +goose Down
DROP TABLE mailwright.inventory_syncs;
DROP TABLE mailwright.mailbox_inventory;
