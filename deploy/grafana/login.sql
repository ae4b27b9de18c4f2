-- Grafana's own user: a member of mailwright_reader, which may read the views and nothing else. Any number of runs do no harm; the password
-- comes as a setting of the session, so that no statement in a log has it.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'grafana') THEN
        CREATE ROLE grafana LOGIN IN ROLE mailwright_reader;
    END IF;
    EXECUTE format('ALTER ROLE grafana PASSWORD %L', current_setting('mailwright.grafana_password'));
END
$$;
ALTER ROLE grafana SET search_path = mailwright_views;
