-- The console's user: a member of mailwright_reader, which may read the views and nothing else. Any number of runs do no harm; the password
-- comes as a setting of the session, so that no statement in a log has it.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'mailwright_console') THEN
        CREATE ROLE mailwright_console LOGIN IN ROLE mailwright_reader;
    END IF;
    EXECUTE format('ALTER ROLE mailwright_console PASSWORD %L', current_setting('mailwright.console_password'));
END
$$;
ALTER ROLE mailwright_console SET search_path = mailwright_views;
