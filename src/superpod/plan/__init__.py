"""Questions and answers: a Scenario goes in, a Report comes out; the only place where the layers meet."""
