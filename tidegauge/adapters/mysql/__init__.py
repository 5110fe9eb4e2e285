"""The store of counts and judgements on MySQL 8.4 and MariaDB 10.11."""
