-- +goose Up

-- Mailboxes whose list of delegates is known, also where that list is empty. names are all names by
-- which a mailbox has been called, in lower case; no name belongs to two mailboxes of a tenant: of two
-- that share one, the latest observed has it. mailbox_key is the object id where one is known.
--
-- set_delegates, set_operation_id and set_at are what the last command left the list as, so that a later observation can be held
-- against it; set_delegates is NULL where no command has set or changed the list. drift_sequence and drift_at are of the event since
-- which the differences are as they are.
CREATE TABLE mailwright.delegation_mailboxes (
    tenant                 text        NOT NULL DEFAULT '',
    mailbox_key            text        NOT NULL,
    names                  text[]      NOT NULL,
    identity               text        NOT NULL,
    object_id              text        NOT NULL DEFAULT '',
    upn                    text        NOT NULL DEFAULT '',
    primary_smtp_address   text        NOT NULL DEFAULT '',
    display_name           text        NOT NULL DEFAULT '',
    recipient_type_details text        NOT NULL DEFAULT '',
    selected               jsonb,
    source                 text        NOT NULL CHECK (source IN ('observed', 'set')),
    operation_id           text        NOT NULL,
    known_at               timestamptz NOT NULL,
    last_sequence          bigint      NOT NULL,
    set_delegates          text[],
    set_operation_id       text        NOT NULL DEFAULT '',
    set_at                 timestamptz,
    drift_sequence         bigint      NOT NULL DEFAULT 0,
    drift_at               timestamptz,
    PRIMARY KEY (tenant, mailbox_key)
);

CREATE INDEX delegation_mailboxes_names ON mailwright.delegation_mailboxes USING gin (names);
CREATE INDEX delegation_mailboxes_identity ON mailwright.delegation_mailboxes (lower(identity));
CREATE INDEX delegation_mailboxes_address ON mailwright.delegation_mailboxes (lower(primary_smtp_address));
CREATE INDEX delegation_mailboxes_drift ON mailwright.delegation_mailboxes (drift_sequence) WHERE drift_sequence > 0;

-- One row a mailbox and delegate (send on behalf).
CREATE TABLE mailwright.delegations (
    tenant        text        NOT NULL DEFAULT '',
    mailbox_key   text        NOT NULL,
    delegate_key  text        NOT NULL,
    mailbox       text        NOT NULL,
    delegate      text        NOT NULL,
    display_name  text        NOT NULL DEFAULT '',
    source        text        NOT NULL CHECK (source IN ('observed', 'set')),
    operation_id  text        NOT NULL,
    known_at      timestamptz NOT NULL,
    last_sequence bigint      NOT NULL,
    PRIMARY KEY (tenant, mailbox_key, delegate_key),
    FOREIGN KEY (tenant, mailbox_key) REFERENCES mailwright.delegation_mailboxes ON DELETE CASCADE
);

-- Delegates are looked up as the views show them, and counted by name.
CREATE INDEX delegations_delegate ON mailwright.delegations (tenant, delegate_key) INCLUDE (known_at);
CREATE INDEX delegations_lower_delegate ON mailwright.delegations (lower(delegate));
CREATE INDEX delegations_lower_mailbox ON mailwright.delegations (lower(mailbox));

-- One row a folder of a mailbox and delegate, as the last command left or read it. A revoked entry stays, without rights, so that an
-- older event cannot bring it back.
CREATE TABLE mailwright.folder_permissions (
    tenant                   text        NOT NULL DEFAULT '',
    mailbox_key              text        NOT NULL,
    folder_key               text        NOT NULL,
    delegate_key             text        NOT NULL,
    mailbox                  text        NOT NULL,
    folder                   text        NOT NULL,
    delegate                 text        NOT NULL,
    access_rights            jsonb       NOT NULL DEFAULT '[]',
    sharing_permission_flags jsonb       NOT NULL DEFAULT '[]',
    operation_id             text        NOT NULL,
    known_at                 timestamptz NOT NULL,
    last_sequence            bigint      NOT NULL,
    source                   text        NOT NULL DEFAULT 'set' CHECK (source IN ('observed', 'set')),
    PRIMARY KEY (tenant, mailbox_key, folder_key, delegate_key)
);

CREATE INDEX folder_permissions_delegate ON mailwright.folder_permissions (delegate_key);
CREATE INDEX folder_permissions_lower_delegate ON mailwright.folder_permissions (lower(delegate));

-- Delegates whom the last command left and the last observation does not show, or the other way round.
CREATE TABLE mailwright.delegation_drift (
    tenant                text        NOT NULL DEFAULT '',
    mailbox_key           text        NOT NULL,
    delegate_key          text        NOT NULL,
    mailbox               text        NOT NULL,
    delegate              text        NOT NULL,
    kind                  text        NOT NULL CHECK (kind IN ('missing', 'unexpected')),
    since                 timestamptz NOT NULL,
    set_operation_id      text        NOT NULL,
    set_at                timestamptz NOT NULL,
    observed_operation_id text        NOT NULL,
    observed_at           timestamptz NOT NULL,
    last_sequence         bigint      NOT NULL,
    PRIMARY KEY (tenant, mailbox_key, delegate_key),
    FOREIGN KEY (tenant, mailbox_key) REFERENCES mailwright.delegation_mailboxes ON DELETE CASCADE
);

CREATE INDEX delegation_drift_since ON mailwright.delegation_drift (since);

-- +goose Down
DROP TABLE mailwright.delegation_drift;
DROP TABLE mailwright.folder_permissions;
DROP TABLE mailwright.delegations;
DROP TABLE mailwright.delegation_mailboxes;
