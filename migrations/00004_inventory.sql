-- +goose Up

-- The latest observation of each mailbox in AvePoint EnPower, every field typed. A row reflects one
-- message alone, since MAILBOXES keeps only the latest of each mailbox: of a mailbox that went
-- missing, the row knows what the message that says so knows. NULL: the vendor left it empty.
CREATE TABLE mailwright.mailbox_inventory (
    tenant                              text        NOT NULL DEFAULT '',
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
    last_seen_at                        timestamptz,
    missing_since                       timestamptz,
    last_sequence                       bigint      NOT NULL,
    PRIMARY KEY (tenant, mailbox_id)
);

CREATE INDEX mailbox_inventory_name ON mailwright.mailbox_inventory (lower(display_name));
CREATE INDEX mailbox_inventory_email ON mailwright.mailbox_inventory (lower(email_address));
CREATE INDEX mailbox_inventory_missing ON mailwright.mailbox_inventory (missing_since)
    WHERE missing_since IS NOT NULL;

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
    last_sequence  bigint      NOT NULL
);

CREATE INDEX inventory_syncs_completed ON mailwright.inventory_syncs (completed_at DESC);

-- +goose Down
DROP TABLE mailwright.inventory_syncs;
DROP TABLE mailwright.mailbox_inventory;
