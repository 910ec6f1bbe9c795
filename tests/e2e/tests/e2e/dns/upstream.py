"""A DNS server for names below upstream.test, each of which has the address 192.0.2.53 for five minutes. usage: upstream.py PORT LOG

It notes what it is asked, a line for each question: type and name. Of other names it knows nothing (SERVFAIL).
"""

import socket
import struct
import sys

port, log = int(sys.argv[1]), sys.argv[2]
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", port))
while True:
    message, client = server.recvfrom(4096)
    labels, at = [], 12
    while message[at]:
        labels.append(message[at + 1 : at + 1 + message[at]].decode().lower())
        at += 1 + message[at]
    (kind,) = struct.unpack("!H", message[at + 1 : at + 3])
    question = message[12 : at + 5]
    with open(log, "a") as noted:
        print(kind, ".".join(labels), file=noted)
    known = labels[-2:] == ["upstream", "test"]
    answer = struct.pack("!HHHLH4s", 0xC00C, 1, 1, 300, 4, socket.inet_aton("192.0.2.53")) if known and kind == 1 else b""
    head = message[:2] + struct.pack("!HHHHH", 0x8180 if known else 0x8182, 1, 1 if answer else 0, 0, 0)
    server.sendto(head + question + answer, client)
