/* The process `web`: HTTP on TCP and on a Unix socket of the data folder, the public pages, health
 * and metrics. Reads the database, asks core over the link for everything that changes something,
 * holds no secret but the key that proves links. */
#ifndef API_WEB_H
#define API_WEB_H

struct api_web_config {
    const char *data_dir;
    const char *http_listen; /* "127.0.0.1:8025", already chosen and free */
    const char *public_url;  /* NULL: not configured */
};

/* Runs until SIGTERM or SIGINT; the exit status of the process. */
int api_web_main(const struct api_web_config *config);

#endif
