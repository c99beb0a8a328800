"""keepline as a proxy, where nothing may be intercepted: programs ask, or go past it.

The relay is the same, behind another way in. (relay/proxies is about those of others.)
"""
