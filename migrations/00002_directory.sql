-- +goose Up

-- What create operations made in a directory. object_key is the name in lower case: names of
-- directory objects do not distinguish case.
CREATE TABLE mailwright.directory_objects (
    tenant         text        NOT NULL DEFAULT '',
    object_key     text        NOT NULL,
    name           text        NOT NULL,
    guid           text        NOT NULL DEFAULT '',
    sid            text        NOT NULL DEFAULT '', -- this and the next: Hosted Exchange, read back
    sam_account_name text      NOT NULL DEFAULT '',
    object_type    text        NOT NULL DEFAULT '',
    upn            text        NOT NULL DEFAULT '',
    display_name   text        NOT NULL DEFAULT '',
    member_of      jsonb       NOT NULL DEFAULT '[]',
    operation_id   text        NOT NULL,
    correlation_id text        NOT NULL DEFAULT '',
    created_at     timestamptz NOT NULL,
    last_sequence  bigint      NOT NULL,
    PRIMARY KEY (tenant, object_key)
);

CREATE INDEX directory_objects_operation ON mailwright.directory_objects (operation_id);
-- Whole, since a query for a name does not say that the name is not empty; the same for mailboxes below.
CREATE INDEX directory_objects_upn ON mailwright.directory_objects (lower(upn));

-- Mailboxes that create operations made, one a directory object.
CREATE TABLE mailwright.mailboxes (
    tenant               text        NOT NULL DEFAULT '',
    object_key           text        NOT NULL,
    directory_object     text        NOT NULL,
    alias                text        NOT NULL DEFAULT '',
    primary_smtp_address text        NOT NULL DEFAULT '',
    proxy_addresses      jsonb       NOT NULL DEFAULT '[]',
    database_name        text        NOT NULL DEFAULT '',
    server_name          text        NOT NULL DEFAULT '',
    plan_name            text        NOT NULL DEFAULT '',
    quota_kb             bigint,
    disable_pop          boolean,
    disable_imap         boolean,
    disable_http         boolean,
    operation_id         text        NOT NULL,
    correlation_id       text        NOT NULL DEFAULT '',
    created_at           timestamptz NOT NULL,
    last_sequence        bigint      NOT NULL,
    PRIMARY KEY (tenant, object_key)
);

CREATE INDEX mailboxes_operation ON mailwright.mailboxes (operation_id);
CREATE INDEX mailboxes_address ON mailwright.mailboxes (lower(primary_smtp_address));

-- +goose Down
DROP TABLE mailwright.mailboxes;
DROP TABLE mailwright.directory_objects;
