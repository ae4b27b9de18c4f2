-- +goose Up

-- Mailboxes whose list of delegates is known, also where that list is empty. names are all names by
-- which a mailbox has been called, in lower case; no name belongs to two mailboxes of a tenant.
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
    PRIMARY KEY (tenant, mailbox_key)
);

CREATE INDEX delegation_mailboxes_names ON mailwright.delegation_mailboxes USING gin (names);

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

CREATE INDEX delegations_delegate ON mailwright.delegations (delegate_key);

-- +goose Down
DROP TABLE mailwright.delegations;
DROP TABLE mailwright.delegation_mailboxes;
