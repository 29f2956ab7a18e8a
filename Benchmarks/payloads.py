"""The actions that are recorded: the same for every subject, drawn from a seed."""
import json, random

URN = "ckp://Kernel#Bench:v1.0"
SIZES = {"small": 236, "typical": 911, "large": 16_384}  # mean bytes of a line, as `ckprov-log bench --size` has them
WORDS = ["".join(random.Random(i).choices("abcdefghijklmnopqrstuvwxyz", k=3 + i % 8)) for i in range(4000)]


def line(numbers, size):
    """An action of exactly `size` bytes of compact JSON, with words that differ, so that there is something to compress."""
    word = lambda: numbers.choice(WORDS)
    action = {"action_type": "deploy.apply", "outcome": "verified", "intent": {"target": word()}, "evidence": {"exit_code": 0, "output": ""}}
    if size >= 600:
        state = {"replicas": numbers.randint(1, 9), "image": "registry.local/%s:%06d" % (word(), numbers.randrange(10 ** 6)), "ready": True,
                 "load": round(numbers.random(), 4)}
        action["intent"]["reason"] = " ".join(word() for _ in range(8))
        action["evidence"]["command"] = "apply --server-side -f %s.yaml" % word()
        action.update(before_state=state, after_state=dict(state, load=round(numbers.random(), 4)), note=word())
    encoded = lambda: json.dumps(action, separators=(",", ":")).encode()
    missing = size - len(encoded())
    text = " ".join(word() for _ in range(missing // 4 + 1))  # no word is shorter than three letters
    action["evidence"]["output"] = text[:missing]
    assert len(encoded()) == size, (size, len(encoded()))
    return encoded()


def lines(size, count, seed=1):
    """Lengths vary by a tenth around `size`, which their mean is exactly."""
    numbers = random.Random("%d %d" % (size, seed))
    made = []
    while len(made) < count - count % 2:
        more = numbers.randint(0, size // 10)
        made += [line(numbers, size + more), line(numbers, size - more)]
    if count % 2:
        made.append(line(numbers, size))
    numbers.shuffle(made)
    return made
